//! Texts with holes, such as `mqtt.${stream}`: parsed once, filled for each record. Knows no
//! hole by itself.

use std::borrow::Cow;

/// A text with holes of the kind `F`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<F> {
    parts: Vec<Part<F>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part<F> {
    Text(String),
    Hole(F),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing would come of it.
    #[error("it is empty")]
    Empty,
    /// A hole without an end.
    #[error("a `${{` without its `}}`")]
    Open,
    /// A hole that there is not.
    #[error("there is no `${{{0}}}` here")]
    Unknown(String),
    /// A text between the holes that cannot stand there.
    #[error("{0:?} cannot be part of it")]
    Text(String),
}

impl<F> Template<F> {
    /// Parses it: `hole` knows the holes by what stands in them, `is_text` judges what stands
    /// between them.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(
        text: &str,
        hole: impl Fn(&str) -> Option<F>,
        is_text: impl Fn(&str) -> bool,
    ) -> Result<Self, TemplateError> {
        let (mut parts, mut rest) = (Vec::new(), text);
        let add = |parts: &mut Vec<Part<F>>, text: &str| match text {
            "" => Ok(()),
            text if is_text(text) => {
                parts.push(Part::Text(text.to_owned()));
                Ok(())
            }
            text => Err(TemplateError::Text(text.to_owned())),
        };
        while let Some((before, behind)) = rest.split_once("${") {
            add(&mut parts, before)?;
            let (name, behind) = behind.split_once('}').ok_or(TemplateError::Open)?;
            let found = hole(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            parts.push(Part::Hole(found));
            rest = behind;
        }
        add(&mut parts, rest)?;
        if parts.is_empty() { Err(TemplateError::Empty) } else { Ok(Self { parts }) }
    }

    /// The text, filled. `None` if there is nothing for a hole.
    pub fn fill<'a>(
        &'a self,
        fill: impl Fn(&'a F) -> Option<Cow<'a, str>>,
    ) -> Option<Cow<'a, str>> {
        // Most have one part: nothing has to be put together then.
        match self.parts.as_slice() {
            [Part::Text(text)] => return Some(Cow::Borrowed(text)),
            [Part::Hole(hole)] => return fill(hole),
            _ => (),
        }
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(hole) => out.push_str(&fill(hole)?),
            }
        }
        Some(Cow::Owned(out))
    }

    /// The text, if it has no holes.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Template, TemplateError};

    fn parse(text: &str) -> Result<Template<char>, TemplateError> {
        let hole = |name: &str| match name {
            "a" => Some('a'),
            "b" => Some('b'),
            _ => None,
        };
        Template::parse(text, hole, |text| !text.contains('!'))
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let template = parse(text).expect("a template");
        let filled = template.fill(|hole| match hole {
            'a' => Some("one".into()),
            _ => None,
        });
        assert_eq!(filled.as_deref(), expected, "{text}");
    }

    #[test]
    fn holes_are_filled_or_nothing_comes_of_it() {
        check("plain", Some("plain"));
        check("mqtt.${a}", Some("mqtt.one"));
        check("${a}/${a}$", Some("one/one$"));
        check("x${b}", None);
        assert_eq!(parse("plain").expect("a template").literal(), Some("plain"));
        assert_eq!(parse("${a}").expect("a template").literal(), None);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, error) in [
            ("", TemplateError::Empty),
            ("x${a", TemplateError::Open),
            ("${c}", TemplateError::Unknown("c".into())),
            ("${a}!", TemplateError::Text("!".into())),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
