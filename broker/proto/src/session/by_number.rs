//! Things by numbers that follow each other, most of which end in about the order in which they
//! began. Knows nothing of what they are.

use std::collections::VecDeque;

/// A map of numbers that lie close together.
#[derive(Clone, Debug)]
pub struct ByNumber<T> {
    first: u64,
    slots: VecDeque<Option<T>>,
}

impl<T> Default for ByNumber<T> {
    fn default() -> Self {
        Self { first: 0, slots: VecDeque::new() }
    }
}

impl<T> ByNumber<T> {
    /// What has this number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&T> {
        self.slots.get(self.index(number)?)?.as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let index = self.index(number)?;
        self.slots.get_mut(index)?.as_mut()
    }

    /// Something has this number from here on. What had it before is answered.
    pub fn insert(&mut self, number: u64, one: T) -> Option<T> {
        if self.slots.is_empty() {
            self.first = number;
        }
        while number < self.first {
            self.slots.push_front(None);
            self.first -= 1;
        }
        while self.first + self.slots.len() as u64 <= number {
            self.slots.push_back(None);
        }
        let index = self.index(number)?;
        self.slots.get_mut(index)?.replace(one)
    }

    /// Nothing has this number any more. What had it is answered.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let index = self.index(number)?;
        let one = self.slots.get_mut(index)?.take();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        one
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::ByNumber;

    #[test]
    fn it_holds_what_a_map_holds() {
        let (mut ours, mut map) = (ByNumber::default(), BTreeMap::new());
        let mut random = 1_u64;
        for step in 0..20_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = 500 + step / 100 - (random >> 33) % 40;
            match random >> 40 & 3 {
                0 => assert_eq!(ours.remove(number), map.remove(&number)),
                1 => assert_eq!(ours.get(number), map.get(&number)),
                2 => assert_eq!(ours.get_mut(number), map.get_mut(&number)),
                _ => assert_eq!(ours.insert(number, step), map.insert(number, step)),
            }
        }
        let numbers: Vec<u64> = map.keys().copied().collect();
        assert!(numbers.iter().all(|it| ours.remove(*it) == map.remove(it)));
        assert!(ours.slots.is_empty() && ours.get(7).is_none() && ours.remove(7).is_none());
    }
}
