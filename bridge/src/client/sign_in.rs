//! Shows a broker who we are, once for each connection. Keeps nothing.

use std::fmt::Write;

use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use tidewire_proto::scram::{Method, Opening, ScramError};

use crate::client::fault::{Fault, said};
use crate::client::files::first_line;
use crate::client::link::Link;
use crate::client::target::{Sasl, SignIn};
use crate::text::spoken;

/// Random bytes of a nonce; as text they take twice as many.
const NONCE_BYTES: usize = 18;

/// Signs in.
pub(crate) async fn sign_in(link: &mut Link, who: &SignIn) -> Result<(), Fault> {
    let mechanism = who.mechanism.word();
    let request = SaslHandshakeRequest::default().with_mechanism(spoken(mechanism));
    let answer = link.call(&request).await?;
    if answer.error_code != 0 {
        let taken: Vec<&str> = answer.mechanisms.iter().map(|it| &**it).collect();
        let (address, taken) = (link.address().to_owned(), taken.join(", "));
        return Err(Fault::Mechanism { address, mechanism, taken });
    }
    match who.mechanism {
        Sasl::Plain => {
            let password = first_line(&who.password_file)?;
            let said = format!("\0{}\0{password}", who.user).into_bytes();
            step(link, who, said).await.map(drop)
        }
        Sasl::Scram(method) => scram(link, who, method).await,
    }
}

async fn scram(link: &mut Link, who: &SignIn, method: Method) -> Result<(), Fault> {
    let (opening, first) = Opening::new(method, &who.user, &nonce()?);
    let challenge = step(link, who, first.into_bytes()).await?;
    let address = link.address().to_owned();
    let wrong = |error: ScramError| fault(address.clone(), who, &error.to_string());
    let challenge = opening.challenged(&challenge).map_err(wrong)?;
    let password = first_line(&who.password_file)?;
    // As many hashes as the other side likes.
    let proving = tokio::task::spawn_blocking(move || challenge.prove(password.as_bytes()));
    let (proof, last) = proving.await.map_err(|error| Fault::Other(error.to_string()))?;
    let confirmed = step(link, who, last.into_bytes()).await?;
    proof.confirmed(&confirmed).map_err(|_| {
        fault(address.clone(), who, "the other side does not know the password itself")
    })
}

async fn step(link: &mut Link, who: &SignIn, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(bytes.into());
    let answer = link.call(&request).await?;
    if answer.error_code == 0 {
        return Ok(answer.auth_bytes.to_vec());
    }
    let mut what = said(answer.error_code);
    if let Some(more) = answer.error_message.as_deref().filter(|more| !more.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(what, ": {more}");
    }
    Err(fault(link.address().to_owned(), who, &what))
}

fn fault(address: String, who: &SignIn, what: &str) -> Fault {
    Fault::SignIn { address, user: who.user.clone(), what: what.into() }
}

/// New for each exchange.
fn nonce() -> Result<String, Fault> {
    let mut random = [0; NONCE_BYTES];
    getrandom::fill(&mut random)
        .map_err(|error| Fault::Other(format!("nothing random can be drawn: {error}")))?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
