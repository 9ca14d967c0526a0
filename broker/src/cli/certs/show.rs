//! What is in PEM files, in words.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::tls::{self, Facts, RevocationFacts, TlsError};

/// All that is in the files.
pub(super) fn run(files: &[PathBuf]) -> Result<String, String> {
    let mut text = String::new();
    for path in files {
        show(path, &mut text)?;
    }
    Ok(text.trim_end().to_owned())
}

fn show(path: &Path, text: &mut String) -> Result<(), String> {
    let certs = present(tls::certificates(path))?;
    let lists = present(tls::revocations(path))?;
    if certs.is_empty() && lists.is_empty() {
        return Err(format!("{} holds neither certificates nor lists", path.display()));
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}", path.display());
    for cert in certs {
        let Facts { subject, issuer, serial, names, others, is_authority, validity, .. } =
            Facts::of(&cert)?;
        let kind = if is_authority { "authority" } else { "certificate" };
        let _ = writeln!(text, "  {kind}  {subject}");
        let _ = writeln!(text, "    signed by  {issuer}");
        let names = [names, others].concat();
        if !names.is_empty() {
            let _ = writeln!(text, "    names      {}", names.join(", "));
        }
        let _ = writeln!(text, "    valid      {validity}");
        let _ = writeln!(text, "    serial     {}", hex(&serial));
    }
    for list in lists {
        let RevocationFacts { issuer, revoked, validity, .. } = RevocationFacts::of(&list)?;
        let _ = writeln!(text, "  list of the revoked");
        let _ = writeln!(text, "    signed by  {issuer}");
        let _ = writeln!(text, "    valid      {validity}");
        let _ = writeln!(text, "    revoked    {}", revoked.len());
        for serial in revoked {
            let _ = writeln!(text, "               {}", hex(&serial));
        }
    }
    Ok(())
}

/// A file that has none of these has none.
fn present<T>(found: Result<Vec<T>, TlsError>) -> Result<Vec<T>, String> {
    match found {
        Err(TlsError::Empty(..)) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
        Ok(all) => Ok(all),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
