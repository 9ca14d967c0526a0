//! `tidewire log repair`: says what is to be done, asks, does it. Mends nothing itself.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use tidewire_store::Disk;
use tidewire_store::inspect::{LookError, Plan, Repair, Step};

use super::screen::{self, DAMAGED, FINE, Paint, paint};
use super::verify::{affected, finding, finding_words, places};
use crate::cli::wording::count;
use crate::moment::compact;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct RepairArgs {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// One JSON document instead of text; needs --yes or --dry-run.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(disk: Arc<dyn Disk>, folder: &Path, arguments: &RepairArgs) -> u8 {
    if arguments.json && !arguments.yes && !arguments.dry_run {
        return screen::refuse(
            "--json cannot ask: add --yes, or --dry-run to see what would happen",
        );
    }
    match mend(disk, folder, arguments) {
        Ok(code) => code,
        Err(error) => screen::fail(&error),
    }
}

fn mend(disk: Arc<dyn Disk>, folder: &Path, arguments: &RepairArgs) -> Result<u8, LookError> {
    let repair = Repair::begin(disk)?;
    let plan = repair.plan()?;
    let backup = format!("damaged-{}", compact(now_ms()));
    let shown = Shown { folder, backup: &backup, json: arguments.json };
    if arguments.dry_run || plan.steps.is_empty() {
        shown.plan(&plan, false);
        return Ok(code(&plan, plan.steps.is_empty()));
    }
    if !arguments.yes {
        shown.plan(&plan, false);
        if let Some(refusal) = ask() {
            return Ok(screen::refuse(refusal));
        }
    }
    let done = repair.carry_out(&backup)?;
    shown.plan(&done, true);
    Ok(code(&done, true))
}

/// Damage that is there after is the answer.
fn code(plan: &Plan, is_done: bool) -> u8 {
    if is_done && plan.left.is_empty() { FINE } else { DAMAGED }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Why it is not to be done, if it is not.
fn ask() -> Option<&'static str> {
    if !io::stdin().is_terminal() {
        return Some("nothing was changed: there is no terminal to ask at; add --yes to do it");
    }
    let mut terminal = io::stderr();
    let _ = write!(terminal, "do this? [y/N] ").and_then(|()| terminal.flush());
    let mut answer = String::new();
    let heard = io::stdin().read_line(&mut answer);
    let agreed = heard.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes");
    (!agreed).then_some("nothing was changed")
}

struct Shown<'a> {
    folder: &'a Path,
    backup: &'a str,
    json: bool,
}

impl Shown<'_> {
    fn plan(&self, plan: &Plan, is_done: bool) {
        match self.json {
            true => screen::print(&self.document(plan, is_done).to_string()),
            false => screen::print(&self.words(plan, is_done)),
        }
    }

    fn document(&self, plan: &Plan, is_done: bool) -> Value {
        let step = |step: &Step| {
            json!({
                "damage": step.damage.name(),
                "file": step.file,
                "position": step.position,
                "what": step.what,
                "action": step.action,
                "affected": affected(&step.affected),
                "means": step.means,
            })
        };
        json!({
            "folder": self.folder.display().to_string(),
            "done": is_done,
            "backup": (!plan.steps.is_empty()).then_some(self.backup),
            "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
            "left": plan.left.iter().map(finding).collect::<Vec<_>>(),
        })
    }

    fn words(&self, plan: &Plan, is_done: bool) -> String {
        let folder = self.folder.display();
        let steps = count(plan.steps.len() as u64, "step");
        let mut text = match (plan.steps.len(), is_done) {
            (0, _) if plan.left.is_empty() => format!("{folder}: nothing to repair\n"),
            (0, _) => format!("{folder}: nothing that can be repaired\n"),
            (_, true) => format!("{folder}: {}, {steps}\n", paint("repaired", Paint::Good)),
            (_, false) => format!("{folder}: repair takes {steps}\n"),
        };
        for (index, step) in plan.steps.iter().enumerate() {
            let Step { file, position, what, action, means, .. } = step;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n{}. {file}, byte {position}: {what}", index + 1);
            if let Some(places) = places(&step.affected) {
                let _ = writeln!(text, "   affects  {places}");
            }
            let _ = writeln!(text, "   means    {means}");
            let _ = writeln!(text, "   {}     {action}", if is_done { "done" } else { "step" });
        }
        if !plan.steps.is_empty() {
            let (backup, tense) = (self.backup, if is_done { "is" } else { "will be" });
            let _ = writeln!(text, "\nwhat is taken away {tense} kept in {folder}/{backup}");
        }
        for found in &plan.left {
            let _ = writeln!(text, "\n{}: {}", paint("stays", Paint::Bad), finding_words(found));
        }
        text
    }
}
