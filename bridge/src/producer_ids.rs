//! Numbers for idempotent producers: large and random, so that none is given twice and nobody knows
//! another's who was not told.

/// So that nobody takes one for "none" or for something else.
const FIRST: i64 = 1000;

/// A number that nobody else has, or had.
pub(crate) fn fresh() -> Result<i64, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok((i64::from_le_bytes(bytes) & i64::MAX).max(FIRST))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{FIRST, fresh};

    #[test]
    fn numbers_are_many_and_no_row_of_neighbours() {
        let numbers: BTreeSet<i64> = (0..1000).map(|_| fresh().expect("random bytes")).collect();
        assert_eq!(numbers.len(), 1000);
        assert!(numbers.iter().all(|number| *number >= FIRST));
        let numbers: Vec<i64> = numbers.into_iter().collect();
        assert!(numbers.windows(2).all(|pair| pair[1] - pair[0] > 1));
    }
}
