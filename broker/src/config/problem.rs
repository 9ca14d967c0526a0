//! What is wrong with the configuration, where, and what to try. Never decides that it is wrong.

use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Spot(Spot),
    /// The file as a whole: it cannot be read.
    File(PathBuf),
    Variable(String),
    Flag(String),
    /// The program that the broker is a part of.
    Program,
    /// Nobody set it: the default.
    Default,
}

/// How the names of our environment variables begin.
pub(super) const VARIABLE_PREFIX: &str = "TIDEWIRE_";

impl Place {
    /// What a setting is called where this place is: a variable is told a variable's name.
    pub(super) fn name_of(&self, setting: &str) -> String {
        match self {
            Self::Variable(_) => {
                format!("{VARIABLE_PREFIX}{}", setting.replace('.', "__").to_uppercase())
            }
            _ => format!("`{setting}`"),
        }
    }
}

/// A place in a file, with the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) path: PathBuf,
    /// Counts from 1, as editors do.
    pub(super) line: usize,
    pub(super) column: usize,
    /// Characters to underline.
    pub(super) width: usize,
    pub(super) text: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) place: Place,
    /// The setting, as path from the top: `["mqtt", "receive_max"]`. Empty for a syntax error.
    pub(super) setting: Vec<String>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    /// Whether the mistake is in this setting or in what holds it.
    pub(super) fn covers(&self, setting: &[String]) -> bool {
        !self.setting.is_empty() && setting.starts_with(&self.setting)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Spot(spot) => {
                write!(f, "{}:{}:{}: ", spot.path.display(), spot.line, spot.column)?;
            }
            Place::File(path) => write!(f, "{}: ", path.display())?,
            Place::Variable(name) => write!(f, "environment variable {name}: ")?,
            Place::Flag(name) => write!(f, "flag {name}: ")?,
            Place::Program => f.write_str("the program: ")?,
            Place::Default => f.write_str("default: ")?,
        }
        f.write_str(&self.message)?;
        if let Place::Spot(spot) = &self.place {
            underline(spot, f)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n     {hint}"),
            None => Ok(()),
        }
    }
}

fn underline(spot: &Spot, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Spot { line, column, width, text, .. } = spot;
    // A tab keeps its width only below a tab.
    let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
    let margin: String = text.chars().take(column.saturating_sub(1)).map(blank).collect();
    write!(f, "\n{line:5} | {text}\n      | {margin}{}", "^".repeat((*width).max(1)))
}

/// All that is wrong with the configuration, in the order of the file.
#[derive(Debug)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
    file: Option<PathBuf>,
}

impl ConfigErrors {
    pub(super) fn new(mut problems: Vec<Problem>, file: Option<PathBuf>) -> Self {
        problems.sort_by(by_place);
        Self { problems, file }
    }

    /// Each mistake in one line, with its place.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |problem: &Problem| {
            let text = problem.to_string();
            let first = text.lines().next().unwrap_or_default();
            let hint = problem.hint.iter().map(|hint| format!("; {hint}"));
            hint.fold(first.to_owned(), |line, hint| line + &hint)
        };
        self.problems.iter().map(line).collect()
    }

    /// How many mistakes there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems.len()
    }
}

fn by_place(a: &Problem, b: &Problem) -> Ordering {
    a.place.cmp(&b.place).then_with(|| a.setting.cmp(&b.setting))
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mistakes = if self.problems.len() == 1 { "mistake" } else { "mistakes" };
        writeln!(f, "{} {mistakes} in the configuration", self.problems.len())?;
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        if self.problems.iter().all(|problem| problem.place == Place::Program) {
            return Ok(());
        }
        f.write_str("correct and try again: tidewire check")?;
        match &self.file {
            Some(file) => write!(f, " --config {}", file.display()),
            None => Ok(()),
        }
    }
}
