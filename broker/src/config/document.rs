//! A TOML file with its positions: from a setting to the line it stands on.
//! Never knows which settings there are.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Spot};

/// What to point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Key,
    Value,
}

/// A file as text. Its tree of positions is made again for each question: errors are rare.
#[derive(Debug)]
pub(super) struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    pub(super) fn read(path: &Path) -> Result<Self, Vec<Problem>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self { path: path.into(), text }),
            Err(error) => Err(vec![Problem {
                place: Place::File(path.into()),
                setting: Vec::new(),
                message: format!("cannot be read: {error}"),
                hint: Some("without --config, tidewire starts with its defaults".into()),
            }]),
        }
    }

    /// The file as plain values, or all its syntax errors: the parser recovers after each.
    pub(super) fn table(&self) -> Result<toml::Table, Vec<Problem>> {
        let (_, errors) = DeTable::parse_recoverable(&self.text);
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| self.syntax(error)).collect());
        }
        toml::from_str(&self.text).map_err(|error| vec![self.syntax(&error)])
    }

    /// Where a setting stands, or the nearest thing around it that the file has.
    pub(super) fn place(&self, setting: &[String], aim: Aim) -> Place {
        let (root, _) = DeTable::parse_recoverable(&self.text);
        let mut best = 0..0;
        let mut here = DeValue::Table(root.into_inner());
        for step in setting {
            let Some((key, value)) = step_into(here, step) else { break };
            best = match (aim, key) {
                (Aim::Key, Some(key)) => key,
                _ => value.span(),
            };
            here = value.into_inner();
        }
        self.spot(best)
    }

    fn syntax(&self, error: &toml::de::Error) -> Problem {
        Problem {
            place: self.spot(error.span().unwrap_or_default()),
            setting: Vec::new(),
            message: format!("not TOML: {}", error.message()),
            hint: None,
        }
    }

    fn spot(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let marked = self.text.get(span).unwrap_or_default();
        Place::Spot(Spot {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            width: first_line(marked).chars().count(),
            text: first_line(rest).into(),
        })
    }
}

type Entry<'d> = (Option<Range<usize>>, Spanned<DeValue<'d>>);

fn step_into<'d>(here: DeValue<'d>, step: &str) -> Option<Entry<'d>> {
    match here {
        DeValue::Table(table) => {
            let (key, value) = table.into_iter().find(|(key, _)| key.get_ref() == step)?;
            Some((Some(key.span()), value))
        }
        DeValue::Array(items) => {
            let value = items.into_iter().nth(step.parse().ok()?)?;
            Some((None, value))
        }
        _ => None,
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
