//! What becomes of a batch that the target answered: taken, refused for good and by which of its
//! records, or to be tried again. Pure.

use kafka_protocol::ResponseError;

use crate::client::fault::said;

/// The answer about one batch, in words of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there.
    Taken,
    /// These of its records, by their place in it, will never be taken.
    Records(Vec<(usize, Why)>),
    /// Nothing for its topic will be.
    Topic(Why),
    /// One of its records will not be; smaller batches will show which.
    Halve,
    /// Another time.
    Again(i16),
}

/// Why a record will not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) is_too_large: bool,
    pub(crate) words: String,
}

impl Why {
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self { is_too_large: false, words: words.into() }
    }
}

/// Judges an answer: its code, what it says of single records, and in words; and how many records
/// the batch has, and whether it was alone in its request: some call all of a request too large.
pub(crate) fn judge(
    code: i16,
    wrong: &[(i32, String)],
    words: Option<&str>,
    (records, is_alone): (usize, bool),
) -> Verdict {
    let Some(error) = ResponseError::try_from_code(code) else {
        return if code == 0 { Verdict::Taken } else { Verdict::Again(code) };
    };
    let why = |words: Option<&str>| {
        let code_words = said(code);
        let words = match words.filter(|words| !words.is_empty()) {
            Some(words) => format!("{code_words}: {words}"),
            None => code_words,
        };
        let is_too_large =
            matches!(error, ResponseError::MessageTooLarge | ResponseError::RecordListTooLarge);
        Why { is_too_large, words }
    };
    let named: Vec<(usize, Why)> = wrong
        .iter()
        .filter_map(|(at, words)| {
            let at = usize::try_from(*at).ok().filter(|at| *at < records)?;
            Some((at, why(Some(words))))
        })
        .collect();
    match error {
        ResponseError::InvalidRecord
        | ResponseError::InvalidTimestamp
        | ResponseError::PolicyViolation
        | ResponseError::TopicAuthorizationFailed
            if !named.is_empty() =>
        {
            Verdict::Records(named)
        }
        ResponseError::TopicAuthorizationFailed | ResponseError::InvalidTopicException => {
            Verdict::Topic(why(words))
        }
        ResponseError::InvalidRecord
        | ResponseError::InvalidTimestamp
        | ResponseError::PolicyViolation
        | ResponseError::UnsupportedForMessageFormat
        | ResponseError::MessageTooLarge
        | ResponseError::RecordListTooLarge => match (records, why(words)) {
            (0 | 1, why) if is_alone || !why.is_too_large => Verdict::Records(vec![(0, why)]),
            _ => Verdict::Halve,
        },
        // It came before, and the answer was lost.
        ResponseError::DuplicateSequenceNumber => Verdict::Taken,
        _ => Verdict::Again(code),
    }
}

/// Is a topic that is refused for this reason one that nothing can be written to, by us?
pub(crate) fn is_topic_forbidden(error: ResponseError) -> bool {
    matches!(error, ResponseError::TopicAuthorizationFailed | ResponseError::InvalidTopicException)
}

/// Is a topic that cannot be looked up for this reason one that nothing can be written to?
pub(crate) fn is_topic_refused(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::UnknownTopicOrPartition
            | ResponseError::TopicAuthorizationFailed
            | ResponseError::InvalidTopicException
    )
}

#[cfg(test)]
mod tests {
    use kafka_protocol::ResponseError;

    use super::{Verdict, judge};

    /// Places of records that are refused; `None` for the whole topic.
    #[track_caller]
    fn check(error: ResponseError, wrong: &[i32], records: usize, expected: Option<&[usize]>) {
        let wrong: Vec<_> = wrong.iter().map(|at| (*at, "why".to_owned())).collect();
        match judge(error.code(), &wrong, None, (records, true)) {
            Verdict::Records(found) => {
                let places: Vec<_> = found.iter().map(|(at, _)| *at).collect();
                assert_eq!(Some(places.as_slice()), expected, "{error}");
            }
            Verdict::Topic(_) => assert_eq!(expected, None, "{error}"),
            other => panic!("{error}: {other:?}"),
        }
    }

    #[test]
    fn poison_is_told_from_what_passes() {
        check(ResponseError::InvalidRecord, &[1, 3, 99, -1], 4, Some(&[1, 3]));
        check(ResponseError::InvalidRecord, &[], 1, Some(&[0]));
        check(ResponseError::MessageTooLarge, &[], 1, Some(&[0]));
        check(ResponseError::RecordListTooLarge, &[], 1, Some(&[0]));
        check(ResponseError::TopicAuthorizationFailed, &[], 9, None);
        check(ResponseError::TopicAuthorizationFailed, &[2], 9, Some(&[2]));
        check(ResponseError::InvalidTopicException, &[], 9, None);
        for error in [ResponseError::MessageTooLarge, ResponseError::InvalidRecord] {
            assert_eq!(judge(error.code(), &[], None, (2, true)), Verdict::Halve);
        }
        for error in [ResponseError::MessageTooLarge, ResponseError::RecordListTooLarge] {
            let beside_others = judge(error.code(), &[], None, (1, false));
            assert_eq!(beside_others, Verdict::Halve, "any of them may be meant");
        }
        assert_eq!(judge(0, &[], None, (5, false)), Verdict::Taken);
        assert_eq!(judge(46, &[], None, (5, false)), Verdict::Taken);
        for code in [3, 5, 6, 7, 19, 20, 45, 47, 48, 56, 59, 120, 9_999] {
            assert_eq!(judge(code, &[], None, (5, false)), Verdict::Again(code), "{code}");
        }
    }

    #[test]
    fn a_refusal_says_why_in_words() {
        let Verdict::Records(found) = judge(10, &[], Some("limit is 7"), (1, true)) else {
            panic!("refused");
        };
        assert!(found[0].1.is_too_large);
        assert!(found[0].1.words.contains("too large for the remote"));
        assert!(found[0].1.words.ends_with("limit is 7"));
    }
}
