//! Mends a stopped folder: cuts a damaged log, fills holes in segments with gaps, makes indexes
//! again. What it takes away it keeps elsewhere first; what is fine it never touches.

use std::sync::Arc;

use super::finding::{Affected, Damage, Finding, Mend};
use super::mend::{Mended, mend};
use super::overlay::Overlay;
use super::verify::verify;
use super::view::LookError;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::folder;

/// Mending one thing may uncover the next; never this often.
const ROUNDS_MAX: usize = 1000;

/// One change to the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is wrong.
    pub damage: Damage,
    /// In which file.
    pub file: String,
    /// Where in it.
    pub position: u64,
    /// What is wrong there.
    pub what: String,
    /// What is done about it.
    pub action: String,
    /// Records that are not in the log after.
    pub affected: Vec<Affected>,
    /// What follows from the damage.
    pub means: String,
}

/// Everything that is to be done, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// Damage that stays: only a backup helps.
    pub left: Vec<Finding>,
}

/// A folder that nobody else can open as long as this lives.
#[derive(Debug)]
pub struct Repair {
    disk: Arc<dyn Disk>,
}

impl Repair {
    /// Take the folder's lock. Refused while a broker runs, and for a version that is not ours.
    pub fn begin(disk: Arc<dyn Disk>) -> Result<Self, LookError> {
        folder::check(&*disk)?;
        disk.lock(folder::LOCK).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => error.into(),
        })?;
        Ok(Self { disk })
    }

    /// What there is to do, found out by doing it in memory.
    pub fn plan(&self) -> Result<Plan, LookError> {
        let overlay: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(&self.disk)));
        run(&overlay, None)
    }

    /// Do it. What is cut away is kept in the folder `backup`, relative to the data folder.
    pub fn carry_out(&self, backup: &str) -> Result<Plan, LookError> {
        run(&self.disk, Some(backup))
    }
}

fn run(disk: &Arc<dyn Disk>, backup: Option<&str>) -> Result<Plan, LookError> {
    let mut plan = Plan::default();
    for _ in 0..ROUNDS_MAX {
        let findings = verify(disk, &mut |_| ())?.findings;
        let mut did_something = false;
        for finding in &findings {
            let mended = mend(disk, &finding.mend, backup).map_err(OpenError::from)?;
            let Mended::Done(unread) = mended else { continue };
            did_something = true;
            plan.steps.push(step(finding, unread));
        }
        if !did_something {
            plan.left = findings;
            break;
        }
    }
    Ok(plan)
}

fn step(finding: &Finding, unread: u64) -> Step {
    Step {
        damage: finding.damage,
        file: finding.file.clone(),
        position: finding.position,
        what: finding.what.clone(),
        action: match unread {
            0 => action(finding),
            _ => format!("{}; the disk cannot read {unread} bytes of them", action(finding)),
        },
        affected: finding.affected.clone(),
        means: finding.means.clone(),
    }
}

fn action(finding: &Finding) -> String {
    let file = &finding.file;
    match &finding.mend {
        Mend::Nothing => String::new(),
        Mend::CutLog { position, .. } if finding.damage == Damage::LogFrame => {
            format!("end the log at byte {position} of {file} and set aside what lies behind")
        }
        Mend::CutLog { .. } => format!("end the log before {file} and set aside what lies behind"),
        Mend::Lengthen { .. } => format!("give {file} its length back, with zeros"),
        Mend::Gap(hole) => {
            let (from, to) = hole.bytes;
            format!("put a gap in the place of bytes {from} to {} of {file}", to.saturating_sub(1))
        }
        Mend::Index { .. } => format!("make {file} again from its segment"),
    }
}
