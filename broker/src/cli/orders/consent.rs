//! What destroys something is tried first, or asked for. Destroys nothing itself.

use std::io::{self, IsTerminal, Write as _};

use clap::Args;

use crate::cli::remote::Trouble;

/// How far an order may go.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Consent {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do it without asking.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

impl Consent {
    /// Whether it may be done: it was said so, or is said now. `what` is a question without its
    /// mark.
    pub(super) fn given(self, what: &str) -> Result<(), Trouble> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Trouble::usage(format!(
                "{what}? There is no terminal to ask at, and nothing was changed\n  try: --yes to \
                 do it, --dry-run to see what would be done"
            )));
        }
        let mut terminal = io::stderr();
        let _ = write!(terminal, "{what}? [y/N] ").and_then(|()| terminal.flush());
        let mut answer = String::new();
        let heard = io::stdin().read_line(&mut answer);
        match heard.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            true => Ok(()),
            false => Err(Trouble::broker("nothing was changed")),
        }
    }
}
