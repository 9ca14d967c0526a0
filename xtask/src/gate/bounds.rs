//! The recorded bounds, pure: reads them, judges by them, writes them anew.

use std::fmt;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::count::Counted;

/// Where nothing else is written; what chance does is far below.
const TOLERANCE_PERCENT: f64 = 3.0;
/// Compilers differ by more than that.
const OTHER_COMPILER_PERCENT: f64 = 15.0;

const HEAD: &str = "\
# How many instructions each hot path takes for one message, on x86-64, and how much more (or
# less) is let pass. Written by `cargo xtask gate --record`; tolerances are kept as they stand.
# docs/decisions/0022-instruction-gate.md says why, docs/performance.md what the paths are.
";

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) compiler: String,
    paths: Vec<Bound>,
}

#[derive(Clone, Debug, PartialEq)]
struct Bound {
    name: String,
    instructions: f64,
    tolerance_percent: f64,
}

/// What a figure is beside its bound, in percent of that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Within(f64),
    TooMany { above: f64, tolerance: f64 },
    Fewer(f64),
    NoBound,
}

impl Verdict {
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::TooMany { .. } | Self::NoBound)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(by) => write!(out, "{by:+.1} %"),
            Self::TooMany { above, tolerance } => {
                write!(out, "{above:+.1} %  TOO MANY: {tolerance} % more are let pass")
            }
            Self::Fewer(by) => write!(out, "{by:+.1} %  fewer: tighten the bound with --record"),
            Self::NoBound => write!(out, "NO BOUND: take it down with --record"),
        }
    }
}

impl Bounds {
    /// Reads the file's text.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error| format!("bounds.toml: {error}"))?;
        let compiler = table.get("compiler").and_then(Value::as_str).unwrap_or_default();
        let listed = table.get("path").and_then(Value::as_array);
        let paths = listed.into_iter().flatten().map(Bound::read).collect::<Result<_, _>>()?;
        Ok(Self { compiler: compiler.to_owned(), paths })
    }

    pub(super) fn of(&self, name: &str) -> Option<f64> {
        Some(self.find(name)?.instructions)
    }

    fn find(&self, name: &str) -> Option<&Bound> {
        self.paths.iter().find(|bound| bound.name == name)
    }

    pub(super) fn judge(&self, name: &str, each: f64, is_other_compiler: bool) -> Verdict {
        let Some(bound) = self.find(name) else { return Verdict::NoBound };
        let least = if is_other_compiler { OTHER_COMPILER_PERCENT } else { 0.0 };
        let tolerance = bound.tolerance_percent.max(least);
        let by = (each / bound.instructions - 1.0) * 100.0;
        if by > tolerance {
            Verdict::TooMany { above: by, tolerance }
        } else if by < -tolerance {
            Verdict::Fewer(by)
        } else {
            Verdict::Within(by)
        }
    }

    /// Bounds whose path is gone, among those with `part` in their name.
    pub(super) fn unknown(&self, part: &str, counted: &[Counted]) -> Vec<String> {
        let is_counted = |name: &str| counted.iter().any(|one| one.name == name);
        let wanted = self.paths.iter().filter(|bound| bound.name.contains(part));
        let gone = wanted.filter(|bound| !is_counted(&bound.name));
        gone.map(|bound| format!("{}: a bound without a path", bound.name)).collect()
    }

    /// The file with these figures.
    pub(super) fn renewed(&self, compiler: &str, counted: &[Counted]) -> String {
        let mut text = format!("{HEAD}compiler = \"{compiler}\"\n");
        for Counted { name, each } in counted {
            let tolerance = self.find(name).map_or(TOLERANCE_PERCENT, |b| b.tolerance_percent);
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n[[path]]\nname = \"{name}\"\ninstructions = {each:.2}\n\
                 tolerance_percent = {tolerance:.1}\n"
            );
        }
        text
    }
}

impl Bound {
    fn read(value: &Value) -> Result<Self, String> {
        let number = |name: &str| {
            let found = value.get(name)?;
            found.as_float().or_else(|| Some(found.as_integer()? as f64))
        };
        let name = value.get("name").and_then(Value::as_str);
        let parts = (name, number("instructions"), number("tolerance_percent"));
        let (Some(name), Some(instructions), Some(tolerance_percent)) = parts else {
            let needs = "name, instructions and tolerance_percent";
            return Err(format!("bounds.toml: a path needs {needs}: {value:?}"));
        };
        Ok(Self { name: name.to_owned(), instructions, tolerance_percent })
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Verdict};
    use crate::gate::count::Counted;

    fn counted(name: &str, each: f64) -> Counted {
        Counted { name: name.to_owned(), each }
    }

    fn bounds() -> Bounds {
        let text = Bounds::default().renewed("rustc 1", &[counted("decode", 100.0)]);
        Bounds::read(&text).expect("as it was written")
    }

    #[test]
    fn more_than_the_tolerance_fails_and_less_is_said() {
        let bounds = bounds();
        assert!(matches!(bounds.judge("decode", 102.9, false), Verdict::Within(_)));
        assert!(bounds.judge("decode", 103.1, false).is_failure());
        let told = bounds.judge("decode", 110.0, false).to_string();
        assert!(told.contains("+10.0 %") && told.contains("3 % more"), "{told}");
        let fewer = bounds.judge("decode", 90.0, false);
        assert!(!fewer.is_failure() && fewer.to_string().contains("tighten"), "{fewer}");
    }

    #[test]
    fn another_compiler_is_let_pass_more_and_not_everything() {
        assert!(!bounds().judge("decode", 110.0, true).is_failure());
        assert!(bounds().judge("decode", 116.0, true).is_failure());
    }

    #[test]
    fn a_path_without_bound_and_a_bound_without_path_are_told() {
        assert!(bounds().judge("new", 1.0, false).is_failure());
        assert_eq!(bounds().unknown("", &[]).len(), 1);
        assert!(bounds().unknown("", &[counted("decode", 1.0)]).is_empty());
        assert!(bounds().unknown("fetch", &[]).is_empty(), "it was not asked for");
    }

    #[test]
    fn figures_are_renewed_and_tolerances_kept() {
        let wide = "compiler = \"a\"\n[[path]]\nname = \"decode\"\ninstructions = 5\n\
                    tolerance_percent = 9\n";
        let old = Bounds::read(wide).expect("whole");
        let text = old.renewed("b", &[counted("decode", 7.0), counted("new", 8.0)]);
        let new = Bounds::read(&text).expect("whole");
        assert_eq!((new.compiler.as_str(), new.of("decode")), ("b", Some(7.0)));
        assert!(!new.judge("decode", 7.6, false).is_failure());
        assert!(new.judge("new", 8.5, false).is_failure());
        assert!(Bounds::read("[[path]]\nname = \"a\"\n").is_err());
    }
}
