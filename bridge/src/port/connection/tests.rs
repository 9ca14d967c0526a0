//! Claims about clients that have not shown who they are.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidewire_proto::scram::Users;
use tidewire_store::{RealDisk, Store, StoreOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::{Socket, serve};
use crate::api::Ends;
use crate::api::tests::open::{Changing, options};
use crate::caller::Caller;
use crate::context::Context;
use crate::port::places::Places;
use crate::{Door, Gate, Login, Mechanism, OnVerdict, Verdict};

/// However slow the machine is.
const PATIENCE: Duration = Duration::from_secs(120);
/// ApiVersions 0.
const HELLO: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0];
/// SaslHandshake 1, for PLAIN.
const HANDSHAKE: &[u8] = b"\0\0\0\x11\0\x11\0\x01\0\0\0\x01\0\0\0\x05PLAIN";
/// SaslAuthenticate 1: ann, pencil.
const AUTHENTICATE: &[u8] = b"\0\0\0\x19\0\x24\0\x01\0\0\0\x02\0\0\0\0\0\x0b\0ann\0pencil";

/// Looks at a password for ever.
#[derive(Default)]
struct Slow {
    asked: Arc<Mutex<Option<Weak<()>>>>,
}

impl Gate for Slow {
    fn mechanisms(&self) -> Vec<Mechanism> {
        vec![Mechanism::Plain]
    }

    fn check(&self, login: Login, answer: OnVerdict) -> Option<Verdict> {
        *self.asked.lock() = Some(login.asker);
        // Nobody ever calls it.
        std::mem::forget(answer);
        None
    }

    fn users(&self) -> Option<Arc<Users>> {
        None
    }

    fn may_try(&self, _: IpAddr, _: &str) -> bool {
        true
    }

    fn was_wrong(&self, _: IpAddr, _: &str) {}
}

/// A connection that is served until its end, beside what its client does.
fn served<F: Future<Output = ()>>(sign_in: Duration, client: impl FnOnce(TcpStream, Asked) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::new(folder.path().join("data")));
    let (store, _) = Store::open(disk, StoreOptions::default()).unwrap();
    let gate = Slow::default();
    let asked = Arc::clone(&gate.asked);
    let mut options = options(&Changing::default());
    options.gate = Arc::new(gate);
    options.limits.sign_in = sign_in;
    options.limits.send = PATIENCE;
    let doors = vec![Door { listener: "kafka", advertised: None, takes_anonymous: false }];
    let context = Rc::new(Context::new(store, options, doors, "test".into()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let there = TcpStream::connect(local).await.unwrap();
        let (here, peer) = listener.accept().await.unwrap();
        let ends = Ends { local, peer, door: 0 };
        let place = Places::take(&Places::new(9, 0), peer.ip(), true).expect("room");
        let serve = serve(context, Socket::Plain(here), ends, (Caller::default(), place));
        let both = async { tokio::join!(serve, client(there, asked)) };
        tokio::time::timeout(PATIENCE, both).await.expect("it ends");
    });
}

/// Who asked for a password.
type Asked = Arc<Mutex<Option<Weak<()>>>>;

#[test]
fn a_stranger_who_always_has_something_to_ask_is_let_go_in_time() {
    served(Duration::from_millis(200), async |mut there, _| {
        let questions = HELLO.repeat(2_000);
        let (mut from, mut to) = there.split();
        let asks = async {
            // It may be closed meanwhile.
            let _ = to.write_all(&questions).await;
        };
        let reads = async {
            let (mut answer, mut read) = ([0; 100], 0);
            while let Ok(count @ 1..) = from.read(&mut answer).await {
                read += count;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(read > 0, "it is answered until then");
        };
        tokio::join!(asks, reads);
    });
}

#[test]
fn nobody_looks_at_the_password_of_who_is_gone() {
    served(PATIENCE, async |mut there, asked| {
        there.write_all(HANDSHAKE).await.unwrap();
        there.write_all(AUTHENTICATE).await.unwrap();
        let asker = loop {
            if let Some(asker) = &*asked.lock() {
                break asker.clone();
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(asker.strong_count(), 1);
        drop(there);
        while asker.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    });
}
