//! Publishing and subscribing within the process, and what must hold for any other client too.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use tidewire::{
    Broker, Message, PublishError, Qos, ReasonCode, StartError, SubscribeError, Subscription,
    SubscriptionEnd,
};

use tokio::time::timeout;

use crate::counts::Counts;
use crate::device::Device;

/// Long enough for what is on its way.
const SOON: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

async fn broker() -> Broker {
    let address = "127.0.0.1:0".parse().expect("an address");
    let builder = Broker::builder().temporary_data().cores(2).listen_mqtt(address);
    builder.start().await.expect("it starts")
}

async fn orders_of(broker: &Broker) -> Subscription {
    let subscribe = broker.subscribe("orders").qos(Qos::ExactlyOnce).durable("billing", HOUR);
    subscribe.manual_acknowledgement().await.expect("it opens")
}

async fn payload(subscription: &mut Subscription) -> String {
    let received = subscription.next().await.expect("the broker runs");
    String::from_utf8(received.message.payload.to_vec()).expect("text")
}

#[tokio::test]
async fn a_message_goes_round_at_each_level_with_all_that_it_carries() {
    let broker = broker().await;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut subscription = broker.subscribe("a/+").qos(qos).await.unwrap();
        let mut message = Message::new("a/b", "hello").qos(qos).user_property("k", "v");
        message.is_text = true;
        message.content_type = Some("text/plain".into());
        message.response_topic = Some("back".into());
        message.correlation_data = Some("c-7".into());
        broker.publish(message.clone()).await.unwrap();
        let received = subscription.next().await.unwrap();
        assert_eq!((received.message, received.is_repeat), (message, false));
        subscription.close().await;
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn clients_on_the_network_and_within_are_of_one_world() {
    let broker = broker().await;
    let address = broker.mqtt_address().unwrap();
    let mut inside = broker.subscribe("up/#").and("down").await.unwrap();
    let mut outside = Device::connect(address, "device");
    outside.subscribe("down", 1);
    assert_eq!(outside.packet().unwrap().0, 0x90);
    outside.publish("up/1", "from outside", 2, false);
    assert_eq!(outside.packet().unwrap().0, 0x40);
    assert_eq!(payload(&mut inside).await, "from outside");
    broker.publish(Message::new("down", "from inside").qos(Qos::AtLeastOnce)).await.unwrap();
    assert!(outside.packet().unwrap().1.ends_with(b"from inside"));
    assert_eq!(payload(&mut inside).await, "from inside");
}

#[tokio::test]
async fn names_within_the_process_are_not_for_the_network() {
    let broker = broker().await;
    let mut thief = Device::open(broker.mqtt_address().unwrap(), "$in-process/billing");
    let (first, body) = thief.packet().unwrap();
    assert_eq!((first, body[1]), (0x20, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID.0));
}

#[tokio::test]
async fn retained_messages_come_to_a_new_subscription_and_not_to_one_that_returns() {
    let broker = broker().await;
    for topic in ["kept/1", "kept/2"] {
        broker.publish(Message::new(topic, "on").qos(Qos::AtLeastOnce).retained()).await.unwrap();
    }
    let mut first = broker.subscribe("kept/#").durable("reader", HOUR).await.unwrap();
    for _ in 0..2 {
        assert!(first.next().await.unwrap().message.retain);
    }
    first.close().await;
    let mut again = broker.subscribe("kept/#").durable("reader", HOUR).await.unwrap();
    assert!(again.was_present());
    broker.publish(Message::new("kept/3", "live").qos(Qos::AtLeastOnce)).await.unwrap();
    assert_eq!(payload(&mut again).await, "live");
    let mut without = broker.subscribe("kept/#").without_retained().await.unwrap();
    broker.publish(Message::new("kept/3", "next").qos(Qos::AtLeastOnce)).await.unwrap();
    assert_eq!(payload(&mut without).await, "next");
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Broker::builder().data_folder(folder.path().join("data")).start();
    let broker = start().await.unwrap();
    assert!(broker.data_is_new());
    let mut orders = orders_of(&broker).await;
    assert!(!orders.was_present());
    for number in 0..5_u32 {
        let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][(number % 2) as usize];
        broker.publish(Message::new("orders", number.to_string()).qos(qos)).await.unwrap();
    }
    for number in 0..2 {
        let order = orders.next().await.unwrap();
        assert_eq!(&order.message.payload[..], number.to_string().as_bytes());
        orders.acknowledge(&order);
    }
    assert_eq!(payload(&mut orders).await, "2", "seen, but not acknowledged");
    orders.close().await;
    broker.shutdown().await.unwrap();

    let broker = start().await.unwrap();
    assert!(!broker.data_is_new());
    let mut orders = orders_of(&broker).await;
    assert!(orders.was_present());
    for number in 2..5 {
        let order = orders.next().await.unwrap();
        assert_eq!(&order.message.payload[..], number.to_string().as_bytes());
        orders.acknowledge(&order);
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_loses_counted_qos_0_and_nothing_else() {
    const COUNT: u64 = 20_000;
    let counts = Counts::default();
    let builder = Broker::builder().temporary_data().recorder(counts.clone());
    let builder = builder.settings(|config| config.mqtt.outbound_buffer_bytes_max = 64 * 1024);
    let broker = builder.start().await.unwrap();
    let mut unread = broker.subscribe("slow/0").qos(Qos::AtMostOnce).await.unwrap();
    let mut kept = broker.subscribe("slow/1").await.unwrap();
    let ballast = "x".repeat(200);
    for number in 0..COUNT {
        let payload = format!("{number} {ballast}");
        broker.publish(Message::new("slow/0", payload.clone())).await.unwrap();
        if number % 10 == 0 {
            broker.publish(Message::new("slow/1", payload).qos(Qos::AtLeastOnce)).await.unwrap();
        }
    }
    for number in (0..COUNT).step_by(10) {
        let payload = payload(&mut kept).await;
        assert_eq!(payload.split(' ').next(), Some(number.to_string().as_str()));
    }
    // When an end is received, all before it were, or were dropped.
    let (mut received, mut ends, mut is_over) = (0, 0, false);
    while !is_over {
        broker.publish(Message::new("slow/0", "end")).await.unwrap();
        ends += 1;
        while let (false, Ok(Some(next))) = (is_over, timeout(SOON, unread.next()).await) {
            is_over = &next.message.payload[..] == b"end";
            received += u64::from(!is_over);
        }
    }
    broker.shutdown().await.unwrap();
    let dropped = counts.of("tidewire_messages_dropped_total", &["reason=slow", "qos=0"]);
    assert!(received < COUNT, "all fitted");
    assert_eq!(received + dropped, COUNT + ends - 1);
}

#[tokio::test]
async fn what_no_client_may_publish_is_refused_and_hurts_nobody_else() {
    let broker = broker().await;
    let wildcard = broker.publish(Message::new("a/#", "x")).await;
    assert!(matches!(wildcard, Err(PublishError::Invalid(_))), "{wildcard:?}");
    let deep = broker.publish(Message::new("/".repeat(200), "x").qos(Qos::AtLeastOnce)).await;
    let reason = ReasonCode::TOPIC_NAME_INVALID;
    assert!(matches!(deep, Err(PublishError::Refused(found)) if found == reason), "{deep:?}");
    let huge = Message::new("a", vec![0; 3 * 1024 * 1024]);
    let huge = broker.publish(huge).await;
    assert!(matches!(huge, Err(PublishError::TooLarge { .. })), "{huge:?}");
    let filter = broker.subscribe("a#").await;
    assert!(matches!(filter, Err(SubscribeError::Invalid(_))), "{filter:?}");
    let deep = broker.subscribe("+/".repeat(200)).await;
    assert!(matches!(deep, Err(SubscribeError::Refused { .. })), "{deep:?}");
    broker.publish(Message::new("a", "x").qos(Qos::ExactlyOnce)).await.unwrap();
}

#[tokio::test]
async fn many_publish_at_a_time_and_each_is_answered() {
    let broker = Arc::new(broker().await);
    let mut subscription = broker.subscribe("many/#").await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..5_000_u32 {
        let broker = Arc::clone(&broker);
        let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][(number % 2) as usize];
        let message = Message::new(format!("many/{}", number % 7), number.to_string()).qos(qos);
        tasks.spawn(async move { broker.publish(message).await });
    }
    let mut seen = vec![0; 5_000];
    for _ in 0..5_000 {
        seen[payload(&mut subscription).await.parse::<usize>().unwrap()] += 1;
    }
    assert!(seen.iter().all(|count| *count == 1));
    while let Some(published) = tasks.join_next().await {
        published.unwrap().unwrap();
    }
}

#[tokio::test]
async fn several_brokers_live_in_one_process_each_with_its_own_counts() {
    let counts = [Counts::default(), Counts::default()];
    let start = |counts: &Counts| {
        let address = "127.0.0.1:0".parse().unwrap();
        let builder = Broker::builder().temporary_data().listen_mqtt(address);
        builder.recorder(counts.clone()).start()
    };
    let (one, two) = (start(&counts[0]).await.unwrap(), start(&counts[1]).await.unwrap());
    assert_ne!(one.mqtt_address(), two.mqtt_address());
    let mut heard = two.subscribe("t").await.unwrap();
    for _ in 0..3 {
        one.publish(Message::new("t", "one").qos(Qos::AtLeastOnce)).await.unwrap();
    }
    two.publish(Message::new("t", "two").qos(Qos::AtLeastOnce)).await.unwrap();
    assert_eq!(payload(&mut heard).await, "two");
    one.shutdown().await.unwrap();
    two.shutdown().await.unwrap();
    let received = |of: &Counts| of.of("tidewire_messages_received_total", &["qos=1"]);
    assert_eq!((received(&counts[0]), received(&counts[1])), (3, 1));
}

#[tokio::test]
async fn one_data_folder_has_one_broker_and_is_free_when_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Broker::builder().data_folder(folder.path()).start();
    let first = start().await.unwrap();
    assert!(matches!(start().await, Err(StartError::Store(..))));
    let mut subscription = first.subscribe("t").await.unwrap();
    first.shutdown().await.unwrap();
    assert_eq!(subscription.next().await, None);
    let told = SubscriptionEnd::Told(ReasonCode::SERVER_SHUTTING_DOWN);
    assert_eq!(subscription.end(), Some(told));
    start().await.unwrap().shutdown().await.unwrap();
}

#[test]
fn futures_of_a_broker_need_no_runtime_of_the_program() {
    block_on(async {
        let broker = Broker::builder().temporary_data().cores(1).start().await.unwrap();
        let mut subscription = broker.subscribe("t").await.unwrap();
        broker.publish(Message::new("t", "x").qos(Qos::ExactlyOnce)).await.unwrap();
        assert_eq!(payload(&mut subscription).await, "x");
        broker.shutdown().await.unwrap();
    });
}

/// The smallest executor there is.
fn block_on(future: impl Future<Output = ()>) {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    while future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_message_at_qos_0_that_is_refused_takes_no_others_with_it() {
    let counts = Counts::default();
    let builder = Broker::builder().temporary_data().recorder(counts.clone());
    let broker = Arc::new(builder.start().await.unwrap());
    let mut published = Vec::new();
    for round in 0..50 {
        let (topic, qos) = match round % 10 {
            5 => ("$delayed/soon/a", Qos::AtMostOnce),
            _ => ("a", Qos::AtLeastOnce),
        };
        let (broker, message) = (Arc::clone(&broker), Message::new(topic, "x").qos(qos));
        published.push(tokio::spawn(async move { broker.publish(message).await }));
    }
    for one in published {
        one.await.unwrap().unwrap();
    }
    Arc::into_inner(broker).expect("nobody else has it").shutdown().await.unwrap();
    let dropped = ["reason=invalid", "qos=0"];
    assert_eq!(counts.of("tidewire_messages_dropped_total", &dropped), 5);
}

#[tokio::test]
async fn a_durable_name_cannot_be_one_that_the_broker_gives_itself() {
    let broker = broker().await;
    broker.publish(Message::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap();
    for name in ["#publisher", "#0", "#"] {
        let subscribed = broker.subscribe("a").durable(name, HOUR).await;
        let Err(SubscribeError::Refused { what, reason }) = subscribed else { panic!("{name}") };
        assert_eq!((&*what, reason), (name, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID));
    }
    broker.publish(Message::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap();
}
