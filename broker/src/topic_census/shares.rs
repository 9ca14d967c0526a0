//! How much of several places is read when not all of it is. Pure.

/// Of each as much as its part of all is, `most` together.
pub(super) fn shares(unread: &[u64], most: u64) -> Vec<u64> {
    let all: u64 = unread.iter().sum();
    if all <= most {
        return unread.to_vec();
    }
    let share = |one: &u64| u128::from(*one) * u128::from(most) / u128::from(all);
    unread.iter().map(|one| u64::try_from(share(one)).unwrap_or(*one)).collect()
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn all_are_cut_alike_and_never_more_than_there_is_is_read() {
        for (unread, most, expected) in [
            (&[][..], 10, &[][..]),
            (&[3, 0, 7], 10, &[3, 0, 7]),
            (&[30, 0, 70], 10, &[3, 0, 7]),
            (&[1, 1, 1], 2, &[0, 0, 0]),
            (&[u64::MAX / 2, u64::MAX / 2], 10, &[5, 5]),
        ] {
            assert_eq!(shares(unread, most), expected, "{unread:?} {most}");
        }
    }
}
