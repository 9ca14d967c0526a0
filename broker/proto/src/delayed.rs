//! Topics that ask for a delay: `$delayed/<seconds>/<topic>`. Never waits itself.

/// What such topics begin with.
pub const PREFIX: &str = "$delayed/";

/// Digits of the largest delay that a number can name.
const DIGITS_MAX: usize = 10;

/// The delay in seconds and the topic it is for; `None` when the form is another one.
#[must_use]
pub fn parse(topic: &str) -> Option<(u32, &str)> {
    let (seconds, topic) = topic.strip_prefix(PREFIX)?.split_once('/')?;
    let is_number = seconds.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || seconds.len() > DIGITS_MAX {
        return None;
    }
    // Neither a delay of a delay nor a message in our own name.
    let is_plain = !topic.is_empty() && !topic.starts_with('$');
    seconds.parse().ok().filter(|_| is_plain).map(|seconds| (seconds, topic))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_delay_and_a_topic_or_nothing() {
        for (topic, expected) in [
            ("$delayed/5/a/b", Some((5, "a/b"))),
            ("$delayed/0/a", Some((0, "a"))),
            ("$delayed/007/a", Some((7, "a"))),
            ("$delayed/4294967295//", Some((u32::MAX, "/"))),
            ("$delayed/4294967296/a", None),
            ("$delayed/00000000001/a", None),
            ("$delayed/5", None),
            ("$delayed/5/", None),
            ("$delayed//a", None),
            ("$delayed/+5/a", None),
            ("$delayed/-5/a", None),
            ("$delayed/5s/a", None),
            ("$delayed/5/$delayed/5/a", None),
            ("$delayed/5/$SYS/a", None),
            ("delayed/5/a", None),
        ] {
            assert_eq!(parse(topic), expected, "{topic}");
        }
    }
}
