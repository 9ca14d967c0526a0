//! What is in PEM files, in words or as JSON.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::wording::hex;
use crate::moment::rfc3339;
use crate::tls::{self, Facts, RevocationFacts, TlsError};

/// All that is in the files.
pub(super) fn run(files: &[PathBuf], as_json: bool) -> Result<String, String> {
    let found = files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    if as_json {
        let items: Vec<Value> = found.iter().map(Found::document).collect();
        return Ok(json!({ "items": items }).to_string());
    }
    let text: String = found.iter().map(Found::words).collect();
    Ok(text.trim_end().to_owned())
}

/// What is in a file.
struct Found {
    file: String,
    certs: Vec<Facts>,
    lists: Vec<RevocationFacts>,
}

fn read(path: &Path) -> Result<Found, String> {
    let certs = present(tls::certificates(path))?;
    let lists = present(tls::revocations(path))?;
    if certs.is_empty() && lists.is_empty() {
        return Err(format!("{} holds neither certificates nor lists", path.display()));
    }
    Ok(Found {
        file: path.display().to_string(),
        certs: certs.iter().map(|cert| Facts::of(cert)).collect::<Result<_, _>>()?,
        lists: lists.iter().map(|list| RevocationFacts::of(list)).collect::<Result<_, _>>()?,
    })
}

impl Found {
    fn words(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", self.file);
        for cert in &self.certs {
            let Facts { subject, issuer, serial, names, others, is_authority, validity, .. } = cert;
            let kind = if *is_authority { "authority" } else { "certificate" };
            let _ = writeln!(text, "  {kind}  {subject}");
            let _ = writeln!(text, "    signed by  {issuer}");
            let names = [&**names, others].concat();
            if !names.is_empty() {
                let _ = writeln!(text, "    names      {}", names.join(", "));
            }
            let _ = writeln!(text, "    valid      {validity}");
            let _ = writeln!(text, "    serial     {}", hex(serial));
        }
        for RevocationFacts { issuer, revoked, validity, .. } in &self.lists {
            let _ = writeln!(text, "  list of the revoked");
            let _ = writeln!(text, "    signed by  {issuer}");
            let _ = writeln!(text, "    valid      {validity}");
            let _ = writeln!(text, "    revoked    {}", revoked.len());
            for serial in revoked {
                let _ = writeln!(text, "               {}", hex(serial));
            }
        }
        text
    }

    fn document(&self) -> Value {
        let time = |seconds: i64| rfc3339(seconds.saturating_mul(1000));
        let cert = |cert: &Facts| {
            let names = [&*cert.names, &cert.others].concat();
            json!({
                "subject": cert.subject,
                "issuer": cert.issuer,
                "names": names,
                "is_authority": cert.is_authority,
                "not_before": time(cert.not_before_s),
                "not_after": time(cert.not_after_s),
                "serial": hex(&cert.serial),
            })
        };
        let list = |list: &RevocationFacts| {
            json!({
                "issuer": list.issuer,
                "next_update": list.next_update_s.map(time),
                "revoked": list.revoked.iter().map(|serial| hex(serial)).collect::<Vec<_>>(),
            })
        };
        json!({
            "file": self.file,
            "certificates": self.certs.iter().map(cert).collect::<Vec<_>>(),
            "revocation_lists": self.lists.iter().map(list).collect::<Vec<_>>(),
        })
    }
}

/// A file that has none of these has none.
fn present<T>(found: Result<Vec<T>, TlsError>) -> Result<Vec<T>, String> {
    match found {
        Err(TlsError::Empty(..)) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
        Ok(all) => Ok(all),
    }
}
