//! Buffers for what is written to clients, used again: a connection has one only while something
//! waits for its socket. Never holds what somebody is still to get.

/// So many are kept, and none that is larger.
const KEPT_MAX: usize = 16;
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Those that nobody uses now.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    spare: Vec<Vec<u8>>,
}

impl Outputs {
    /// Something is about to be put into `out`: one without memory gets some that is there.
    pub(crate) fn lend(&mut self, out: &mut Vec<u8>) {
        if out.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *out = spare;
        }
    }

    /// The socket took what it would: an idle connection owns no memory, and one that is slow no
    /// more than what it waits for needs.
    pub(crate) fn take_back(&mut self, out: &mut Vec<u8>) {
        if out.len() > out.capacity() / 4 {
            return;
        }
        let left = out.to_vec();
        let mut spare = std::mem::replace(out, left);
        let is_worth_it = 0 < spare.capacity() && spare.capacity() <= KEPT_BYTES_MAX;
        if is_worth_it && self.spare.len() < KEPT_MAX {
            spare.clear();
            self.spare.push(spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_BYTES_MAX, KEPT_MAX, Outputs};

    #[test]
    fn memory_goes_from_one_connection_to_the_next_and_is_bounded() {
        let mut outputs = Outputs::default();
        let mut first = vec![7; 1000];
        let memory = first.as_ptr();
        outputs.take_back(&mut first);
        assert_eq!((first.len(), first.as_ptr()), (1000, memory), "it needs what it has");
        first.drain(..998);
        outputs.take_back(&mut first);
        assert_eq!((first.as_slice(), first.capacity()), (&[7, 7][..], 2), "it is slow");
        let mut second = Vec::new();
        outputs.lend(&mut second);
        assert_eq!((second.len(), second.as_ptr()), (0, memory));
        second.push(1);
        outputs.take_back(&mut Vec::with_capacity(KEPT_BYTES_MAX + 1));
        outputs.lend(&mut second);
        assert_eq!(second, [1], "who has some keeps it");
        for _ in 0..=KEPT_MAX {
            outputs.take_back(&mut Vec::with_capacity(1));
        }
        assert_eq!(outputs.spare.len(), KEPT_MAX);
    }
}
