//! What one connection of a link leaves for the next: the message at which it met with a refusal
//! that says nothing, or with its end. Decides nothing.

use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_proto::session::window::Place;

/// A message, and how often in a row.
type Struck = Option<(Place, u32)>;

/// Of all connections of a link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strikes(Arc<Mutex<(Struck, Struck)>>);

impl Strikes {
    /// It was refused in a way that says nothing. Answers how often in a row.
    pub(crate) fn refused(&self, place: Place) -> u32 {
        strike(&mut self.0.lock().0, place)
    }

    /// The connection ended before it was acknowledged. Answers how often in a row.
    pub(crate) fn cut(&self, place: Place) -> u32 {
        strike(&mut self.0.lock().1, place)
    }
}

fn strike(struck: &mut Struck, place: Place) -> u32 {
    let before = struck.filter(|(known, _)| *known == place).map_or(0, |(_, count)| count);
    *struck = Some((place, before + 1));
    before + 1
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::session::window::Place;

    use super::Strikes;

    #[test]
    fn each_kind_counts_for_itself_and_another_message_begins_anew() {
        let [first, second] = [3, 4].map(|offset| Place { partition: PartitionId(0), offset });
        let (strikes, all) = (Strikes::default(), Strikes::default().clone());
        assert_eq!((strikes.refused(first), strikes.clone().refused(first)), (1, 2));
        assert_eq!((strikes.cut(first), strikes.refused(second)), (1, 1));
        assert_eq!((strikes.refused(first), strikes.cut(first)), (1, 2));
        assert_eq!(all.cut(first), 1, "another link's");
    }
}
