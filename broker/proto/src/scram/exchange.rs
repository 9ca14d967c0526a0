//! One authentication: client-first, server-first, client-final, server-final.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::scram::credentials::Credentials;
use crate::scram::hash::{Hash, hash, hmac, is_same};

/// Longest user name or nonce of a client, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// Why an authentication fails. The client is told only that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// A message that is not of SCRAM's form.
    #[error("a message is not of SCRAM's form")]
    Form,
    /// The client insists on binding to a TLS channel, which this method has not.
    #[error("the client asks for channel binding")]
    ChannelBinding,
    /// The client wants to act for another user.
    #[error("the client wants to act for another user")]
    OtherUser,
    /// An extension that must be understood.
    #[error("the client asks for an extension")]
    Extension,
    /// The last message belongs to another exchange.
    #[error("nonce or header are not those of this exchange")]
    Mismatch,
    /// The password is wrong, or there is no such user.
    #[error("the proof is wrong")]
    Proof,
}

/// An exchange after our challenge. Holds no password.
#[derive(Debug)]
pub struct Exchange {
    user: Box<str>,
    credentials: Credentials,
    /// The client's header in base64, as it must repeat it.
    header: String,
    nonce: String,
    /// What both sides sign, up to the client's last message.
    signed: String,
}

/// The client has shown that it knows the password.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    /// Who it is.
    pub user: Box<str>,
    /// The message that shows that we know it too.
    pub server_final: String,
}

impl Exchange {
    /// Takes the client's first message and answers with the challenge. `nonce` is new for each
    /// exchange, printable and without comma; `find` knows the users.
    ///
    /// # Errors
    /// When the message is none, or asks for what we have not.
    pub fn begin(
        client_first: &[u8],
        nonce: &str,
        find: impl FnOnce(&str) -> Credentials,
    ) -> Result<(Self, String), ScramError> {
        let text = std::str::from_utf8(client_first).map_err(|_| ScramError::Form)?;
        let (flag, rest) = text.split_once(',').ok_or(ScramError::Form)?;
        let (acts_for, bare) = rest.split_once(',').ok_or(ScramError::Form)?;
        match flag {
            "n" | "y" => (),
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Form),
        }
        let mut fields = bare.split(',');
        let first = fields.next().unwrap_or_default();
        if first.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let user = name(first.strip_prefix("n=").ok_or(ScramError::Form)?)?;
        let theirs = fields.next().and_then(|field| field.strip_prefix("r="));
        let theirs = theirs.filter(|theirs| is_nonce(theirs)).ok_or(ScramError::Form)?;
        if !acts_for.is_empty() {
            let other = name(acts_for.strip_prefix("a=").ok_or(ScramError::Form)?)?;
            if other != user {
                return Err(ScramError::OtherUser);
            }
        }
        let credentials = find(&user);
        let nonce = format!("{theirs}{nonce}");
        let salt = STANDARD.encode(&credentials.salt);
        let challenge = format!("r={nonce},s={salt},i={}", credentials.iterations);
        let header = STANDARD.encode(format!("{flag},{acts_for},"));
        let signed = format!("{bare},{challenge}");
        Ok((Self { user, credentials, header, nonce, signed }, challenge))
    }

    /// Whose password it is about.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Takes the client's last message.
    ///
    /// # Errors
    /// When it is none, belongs to another exchange, or shows nothing.
    pub fn finish(self, client_final: &[u8]) -> Result<Shown, ScramError> {
        let text = std::str::from_utf8(client_final).map_err(|_| ScramError::Form)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Form)?;
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::Form)?;
        let method = self.credentials.method;
        if proof.len() != method.bytes() {
            return Err(ScramError::Form);
        }
        let proof = Hash::from(proof);
        let mut fields = without_proof.split(',');
        let header = fields.next().and_then(|field| field.strip_prefix("c="));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let (header, nonce) = header.zip(nonce).ok_or(ScramError::Form)?;
        if header != self.header || nonce != self.nonce {
            return Err(ScramError::Mismatch);
        }
        let signed = [self.signed.as_bytes(), b",", without_proof.as_bytes()];
        let signature = hmac(method, &self.credentials.stored_key, &signed);
        let mut client_key = proof;
        client_key.iter_mut().zip(&signature).for_each(|(key, signature)| *key ^= signature);
        if !is_same(&hash(method, &client_key), &self.credentials.stored_key) {
            return Err(ScramError::Proof);
        }
        let ours = STANDARD.encode(hmac(method, &self.credentials.server_key, &signed));
        Ok(Shown { user: self.user, server_final: format!("v={ours}") })
    }
}

/// A user name: comma and equals sign are written as `=2C` and `=3D`.
fn name(coded: &str) -> Result<Box<str>, ScramError> {
    let mut parts = coded.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Form),
        };
        name.push(sign);
        name.push_str(rest);
    }
    let is_good = !name.is_empty() && name.len() <= TEXT_BYTES_MAX && !name.contains('\0');
    is_good.then(|| name.into()).ok_or(ScramError::Form)
}

fn is_nonce(text: &str) -> bool {
    let is_printable = |byte: u8| matches!(byte, 0x21..=0x2b | 0x2d..=0x7e);
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && text.bytes().all(is_printable)
}

#[cfg(test)]
mod tests {
    use super::{Exchange, ScramError};
    use crate::scram::credentials::Credentials;

    // The exchange that RFC 7677 prints: user "user", password "pencil". The credentials are what
    // any implementation derives from them.
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const CREDENTIALS: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn find(_: &str) -> Credentials {
        Credentials::parse(CREDENTIALS).expect("well formed")
    }

    fn begin(first: &str) -> Result<(Exchange, String), ScramError> {
        Exchange::begin(first.as_bytes(), SERVER_NONCE, find)
    }

    #[test]
    fn the_exchange_of_the_standard_goes_through() {
        let (exchange, challenge) = begin(CLIENT_FIRST).expect("a first message");
        assert_eq!(challenge, CHALLENGE);
        let shown = exchange.finish(CLIENT_FINAL.as_bytes()).expect("the right proof");
        assert_eq!((&*shown.user, &*shown.server_final), ("user", SERVER_FINAL));
    }

    #[test]
    fn first_messages_are_judged() {
        for (first, error) in [
            ("p=tls-unique,,n=user,r=abc", ScramError::ChannelBinding),
            ("n,a=admin,n=user,r=abc", ScramError::OtherUser),
            ("n,,m=x,n=user,r=abc", ScramError::Extension),
            ("x,,n=user,r=abc", ScramError::Form),
            ("n,,n=,r=abc", ScramError::Form),
            ("n,,n=us=er,r=abc", ScramError::Form),
            ("n,,n=user,r=", ScramError::Form),
            ("n,,n=user,r=a b", ScramError::Form),
            ("n,,n=user", ScramError::Form),
            ("n,,r=abc,n=user", ScramError::Form),
            ("n", ScramError::Form),
            ("", ScramError::Form),
        ] {
            assert_eq!(begin(first).err(), Some(error), "{first}");
        }
        for good in ["y,,n=user,r=abc", "n,a=user,n=user,r=abc", "n,,n=user,r=abc,x=ext"] {
            assert!(begin(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_name_may_hold_comma_and_equals_sign() {
        let mut seen = String::new();
        let found = Exchange::begin(b"n,,n=a=2Cb=3Dc,r=abc", "x", |user| {
            seen = user.into();
            find(user)
        });
        assert!(found.is_ok());
        assert_eq!(seen, "a,b=c");
    }

    #[test]
    fn last_messages_are_judged() {
        let nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let wrong = "p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        for (last, error) in [
            (format!("c=biws,{nonce},{wrong}"), ScramError::Proof),
            (format!("c=biws,{nonce}0,{proof}"), ScramError::Mismatch),
            (format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,{proof}"), ScramError::Mismatch),
            (format!("c=eSws,{nonce},{proof}"), ScramError::Mismatch),
            (format!("c=biws,{nonce}"), ScramError::Form),
            (format!("c=biws,{nonce},p=AAAA"), ScramError::Form),
            (format!("c=biws,{nonce},x=ext,{proof}"), ScramError::Proof),
            (format!("{nonce},c=biws,{proof}"), ScramError::Form),
            (String::new(), ScramError::Form),
        ] {
            let (exchange, _) = begin(CLIENT_FIRST).expect("a first message");
            assert_eq!(exchange.finish(last.as_bytes()), Err(error), "{last}");
        }
    }
}
