//! Who is sent away, and who may not come back.

use std::time::{Duration, Instant};

use tidewire::config::Anonymous;
use tidewire::{Ban, BanTarget, Broker, Builder, ReasonCode};

use crate::counts::Counts;
use crate::device::Device;

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(120);

fn builder() -> Builder {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Broker::builder().listen_mqtt(listen)
}

#[tokio::test]
async fn a_kicked_client_is_told_and_may_come_back() {
    let broker = builder().temporary_data().start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    let mut device = Device::connect(address, "esp");
    assert!(!broker.kick("other").await.unwrap());
    assert!(broker.kick("esp").await.unwrap());
    let (first, body) = device.packet().unwrap();
    assert_eq!((first, body[0]), (0xe0, ReasonCode::ADMINISTRATIVE_ACTION.0));
    assert_eq!(device.packet(), None);
    let _ = Device::connect(address, "esp");
}

/// It waits for its predecessor to let go of the client id: kicked meanwhile, it hears of that.
#[tokio::test]
async fn a_client_that_is_kicked_before_its_session_is_open_is_not_left_without_an_answer() {
    let broker = builder().temporary_data().start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    for round in 0..200_u32 {
        let _first = Device::resume(address, "esp");
        let mut second = Device::ask_to_resume(address, "esp");
        // Sooner or later: in some rounds it has just come, in some it waits, in some it is in.
        let at = Instant::now();
        while at.elapsed() < Duration::from_micros(u64::from(round % 40) * 25) {
            std::hint::spin_loop();
        }
        broker.kick("esp").await.unwrap();
        let answer = second.packet();
        let is_let_in = |(first, body): &(u8, Vec<u8>)| *first == 0x20 && body[1] == 0;
        assert!(answer.as_ref().is_none_or(is_let_in), "{answer:?}");
        assert!(at.elapsed() < PATIENCE, "neither an answer nor the end in round {round}");
    }
}

#[tokio::test]
async fn a_banned_client_is_sent_away_and_kept_out_until_the_ban_is_lifted() {
    let counts = Counts::default();
    let broker = builder().temporary_data().recorder(counts.clone()).start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    let mut device = Device::connect(address, "esp");
    assert_eq!(broker.ban(Ban::client("esp").because("too loud")).await.unwrap(), 1);
    let (first, body) = device.packet().unwrap();
    assert_eq!((first, body[0]), (0xe0, ReasonCode::ADMINISTRATIVE_ACTION.0));
    assert!(body.ends_with(b"banned: too loud"));
    assert_eq!(Device::open(address, "esp").refusal(), ReasonCode::BANNED.0);
    assert_eq!(Device::open_v4(address, "esp").refusal(), 5, "not authorized");
    let _other = Device::connect(address, "other");
    let banned = broker.bans();
    assert_eq!((banned.len(), banned[0].reason.as_str()), (1, "too loud"));
    let target = BanTarget::Client("esp".into());
    assert!(broker.unban(&target).await.unwrap());
    assert!(!broker.unban(&target).await.unwrap());
    let _back = Device::connect(address, "esp");
    broker.shutdown().await.unwrap();
    assert_eq!(counts.of("tidewire_connections_total", &["reason=banned"]), 2);
    assert_eq!(counts.of("tidewire_connections_closed_total", &["reason=expelled"]), 1);
}

#[tokio::test]
async fn strangers_do_not_learn_which_clients_are_banned() {
    let counts = Counts::default();
    let builder = builder().settings(|config| config.listener.mqtt.anonymous = Anonymous::Refuse);
    let broker = builder.temporary_data().recorder(counts.clone()).start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    broker.ban(Ban::client("esp")).await.unwrap();
    for client_id in ["esp", "other"] {
        assert_eq!(Device::open(address, client_id).refusal(), ReasonCode::NOT_AUTHORIZED.0);
    }
    broker.shutdown().await.unwrap();
    assert_eq!(counts.of("tidewire_connections_total", &["reason=banned"]), 0);
}

/// It said in CONNECT that a code is enough.
#[tokio::test]
async fn a_client_that_wants_no_words_is_sent_away_without() {
    let broker = builder().temporary_data().start().await.unwrap();
    let mut device = Device::open_without_words(broker.mqtt_address().unwrap(), "esp").let_in();
    broker.ban(Ban::client("esp").because("too loud")).await.unwrap();
    let (first, body) = device.packet().unwrap();
    assert_eq!((first, body[0]), (0xe0, ReasonCode::ADMINISTRATIVE_ACTION.0));
    assert!(matches!(body[1..], [] | [0]), "properties: {body:02x?}");
    assert_eq!(device.packet(), None);
}

#[tokio::test]
async fn a_ban_of_addresses_means_everybody_there_but_nobody_in_the_process() {
    let broker = builder().temporary_data().start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    let (mut one, mut two) = (Device::connect(address, "one"), Device::connect(address, "two"));
    let mut inside = broker.subscribe("t").await.unwrap();
    let network = "127.0.0.0/8".parse().unwrap();
    assert_eq!(broker.ban(Ban::addresses(network)).await.unwrap(), 2);
    for device in [&mut one, &mut two] {
        assert_eq!(device.packet().unwrap().0, 0xe0);
    }
    assert_eq!(Device::open(address, "three").packet(), None, "it is not even listened to");
    broker.publish(tidewire::Message::new("t", "x")).await.unwrap();
    assert!(inside.next().await.is_some());
    assert!(broker.unban(&BanTarget::Address(network)).await.unwrap());
    let _ = Device::connect(address, "three");
}

#[tokio::test]
async fn a_ban_survives_a_restart_and_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let start = || builder().data_folder(folder.path()).start();
    let broker = start().await.unwrap();
    broker.ban(Ban::client("long").during(HOUR).because("test")).await.unwrap();
    broker.ban(Ban::client("short").during(Duration::from_millis(1))).await.unwrap();
    let before = broker.bans();
    broker.shutdown().await.unwrap();

    let broker = start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    assert_eq!(Device::open(address, "long").refusal(), ReasonCode::BANNED.0);
    let _ = Device::connect(address, "short");
    let after = broker.bans();
    assert_eq!(after.len(), 1);
    let of_long = before.iter().find(|ban| ban.reason == "test").unwrap();
    assert_eq!(after[0].target, of_long.target);
    let since = |ban: &Ban| ban.since.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(since(&after[0]), since(of_long));
}
