//! JSON, written. Reads none.

use std::fmt::Display;
use std::io::Write;

/// An object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Object<'a> {
    /// Begins one, behind what is there.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        put_text(self.member(name), value);
    }

    /// A number, or a truth value.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) {
        // Writing to a Vec cannot fail.
        let _ = write!(self.member(name), "{value}");
    }

    /// Pairs of texts, in their order.
    pub(super) fn pairs<'b>(
        &mut self,
        name: &str,
        pairs: impl Iterator<Item = (&'b str, &'b str)>,
    ) {
        let out = self.member(name);
        out.push(b'[');
        for (index, (key, value)) in pairs.enumerate() {
            out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
            put_text(out, key);
            out.push(b',');
            put_text(out, value);
            out.push(b']');
        }
        out.push(b']');
    }

    /// Ends it.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        put_text(self.out, name);
        self.out.push(b':');
        self.out
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            // Writing to a Vec cannot fail.
            0..0x20 | 0x7f => drop(write!(out, "\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::Object;

    #[test]
    fn what_json_cannot_hold_as_it_is_is_escaped() {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.text("te\"xt", "a\\b\n\r\t\0\x1f\x7f ü€");
        object.plain("n", -7);
        object.plain("flag", true);
        object.pairs("pairs", [("a", "b"), ("a", "\"")].into_iter());
        object.pairs("none", std::iter::empty());
        object.end();
        let expected = "{\"te\\\"xt\":\"a\\\\b\\n\\r\\t\\u0000\\u001f\\u007f ü€\",\"n\":-7,\
                        \"flag\":true,\"pairs\":[[\"a\",\"b\"],[\"a\",\"\\\"\"]],\"none\":[]}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
