//! Has the page about conformance written anew by the test that guards it. Knows no statement.

use crate::check::cargo;
use crate::output::{announce, run};
use crate::places::Places;

/// Then checks it.
pub(crate) fn write(places: &Places) -> Result<(), String> {
    announce("conformance: docs/conformance.md");
    let test = "test --quiet --package tidewire-tests --test conformance -- --nocapture";
    let mut command = cargo(places, test);
    run(command.env("TIDEWIRE_WRITE", "1"))
}
