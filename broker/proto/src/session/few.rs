//! A map by text, in order, which is small while it holds little: most sessions subscribe to one
//! filter or four, and some to a hundred thousand.

use std::collections::BTreeMap;
use std::ops::Bound;

/// So many stand in one row, which has room for no more than it holds.
const ROW_MAX: usize = 8;
/// A tree of so few becomes a row again. Less than a row holds: one that comes and goes must not
/// make another of it each time.
const TREE_MIN: usize = 4;

/// Values by their names.
#[derive(Clone, Debug)]
pub struct Few<V>(Form<V>);

#[derive(Clone, Debug)]
enum Form<V> {
    /// In the order of their names.
    Row(Vec<(Box<str>, V)>),
    #[expect(clippy::box_collection, reason = "beside a row it would make every map larger")]
    Tree(Box<BTreeMap<Box<str>, V>>),
}

impl<V> Default for Few<V> {
    fn default() -> Self {
        Self(Form::Row(Vec::new()))
    }
}

impl<V> Few<V> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Row(row) => row.len(),
            Form::Tree(tree) => tree.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        match &self.0 {
            Form::Row(row) => Some(&row[place(row, name).ok()?].1),
            Form::Tree(tree) => tree.get(name),
        }
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds or replaces. The answer is what was there.
    pub fn insert(&mut self, name: &str, value: V) -> Option<V> {
        let row = match &mut self.0 {
            Form::Row(row) => row,
            Form::Tree(tree) => return tree.insert(name.into(), value),
        };
        let at = match place(row, name) {
            Ok(at) => return Some(std::mem::replace(&mut row[at].1, value)),
            Err(at) => at,
        };
        if row.len() < ROW_MAX {
            row.reserve_exact(1);
            row.insert(at, (name.into(), value));
        } else {
            let mut tree: BTreeMap<_, _> = std::mem::take(row).into_iter().collect();
            tree.insert(name.into(), value);
            self.0 = Form::Tree(Box::new(tree));
        }
        None
    }

    /// Takes one away.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        match &mut self.0 {
            Form::Row(row) => {
                let (_, value) = row.remove(place(row, name).ok()?);
                row.shrink_to_fit();
                Some(value)
            }
            Form::Tree(tree) => {
                let value = tree.remove(name);
                if tree.len() <= TREE_MIN {
                    let tree = std::mem::take(&mut **tree);
                    // Of a known length: it takes no more room than it needs.
                    self.0 = Form::Row(tree.into_iter().collect());
                }
                value
            }
        }
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.range(Bound::Unbounded)
    }

    /// Those from a name on.
    pub fn range(&self, from: Bound<&str>) -> impl Iterator<Item = (&str, &V)> {
        let (row, tree) = match &self.0 {
            Form::Row(row) => (&row[start(row, from)..], None),
            Form::Tree(tree) => (&[][..], Some(tree.range::<str, _>((from, Bound::Unbounded)))),
        };
        let row = row.iter().map(|(name, value)| (&**name, value));
        row.chain(tree.into_iter().flatten().map(|(name, value)| (&**name, value)))
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut V)> {
        let (row, tree) = match &mut self.0 {
            Form::Row(row) => (&mut row[..], None),
            Form::Tree(tree) => (&mut [][..], Some(tree.iter_mut())),
        };
        let row = row.iter_mut().map(|(name, value)| (&**name, value));
        row.chain(tree.into_iter().flatten().map(|(name, value)| (&**name, value)))
    }
}

/// Where one stands in a row, or would.
fn place<V>(row: &[(Box<str>, V)], name: &str) -> Result<usize, usize> {
    row.binary_search_by(|(other, _)| (**other).cmp(name))
}

fn start<V>(row: &[(Box<str>, V)], from: Bound<&str>) -> usize {
    match from {
        Bound::Included(name) => place(row, name).unwrap_or_else(|at| at),
        Bound::Excluded(name) => place(row, name).map_or_else(|at| at, |at| at + 1),
        Bound::Unbounded => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{Few, Form, ROW_MAX, TREE_MIN};

    proptest! {
        #[test]
        fn it_is_a_map_in_order_however_many_it_holds(
            steps in vec((0u8..20, any::<bool>()), 0..200),
            from in 0u8..20,
        ) {
            let (mut few, mut model) = (Few::default(), BTreeMap::new());
            for (number, (name, is_added)) in steps.into_iter().enumerate() {
                let name = name.to_string();
                if is_added {
                    assert_eq!(few.insert(&name, number), model.insert(name.clone(), number));
                } else {
                    assert_eq!(few.remove(&name), model.remove(&name));
                }
                assert_eq!(few.get(&name), model.get(&name));
                assert_eq!(few.contains(&name), model.contains_key(&name));
                assert_eq!((few.len(), few.is_empty()), (model.len(), model.is_empty()));
            }
            few.iter_mut().for_each(|(name, value)| *value += name.len());
            model.iter_mut().for_each(|(name, value)| *value += name.len());
            let from = from.to_string();
            for from in [Bound::Unbounded, Bound::Included(&*from), Bound::Excluded(&*from)] {
                let expected = model.range::<str, _>((from, Bound::Unbounded));
                assert!(few.range(from).eq(expected.map(|(name, value)| (&**name, value))));
            }
        }
    }

    #[test]
    fn a_few_take_no_more_room_than_they_need() {
        let mut few = Few::default();
        let names: Vec<String> = (0..ROW_MAX).map(|number| number.to_string()).collect();
        let room = |few: &Few<u64>| match &few.0 {
            Form::Row(row) => Some(row.capacity()),
            Form::Tree(_) => None,
        };
        for (number, name) in names.iter().enumerate() {
            few.insert(name, 0);
            assert_eq!(room(&few), Some(number + 1));
        }
        few.insert("one more", 0);
        assert_eq!(room(&few), None);
        few.remove("one more");
        assert_eq!(room(&few), None, "it may come back");
        for (number, name) in names.iter().enumerate().skip(TREE_MIN) {
            few.remove(name);
            let left = names.len() - 1 - (number - TREE_MIN);
            assert_eq!(room(&few), (left <= TREE_MIN).then_some(left));
        }
        few.remove(&names[0]);
        assert_eq!((few.len(), room(&few)), (TREE_MIN - 1, Some(TREE_MIN - 1)));
    }
}
