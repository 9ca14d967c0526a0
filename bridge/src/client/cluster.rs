//! The brokers of a cluster, which of them leads what, and a connection to each that is needed.
//! Never decides what is written or read there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, TopicName};
use tokio::time::{Instant, sleep};

use crate::client::calls::Call;
use crate::client::fault::Fault;
use crate::client::link::Link;
use crate::client::sign_in::sign_in;
use crate::client::target::Target;
use crate::text::spoken;

/// Between two looks at what is about to change.
const PAUSE: Duration = Duration::from_millis(100);

/// A broker's number.
pub(crate) type Node = i32;

/// Topics that were looked up, and who leads each of their partitions.
pub(crate) type Topics = HashMap<String, Vec<Node>>;

/// Who coordinates what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coordinates {
    Group = 0,
    Transaction = 1,
}

/// A cluster that was reached.
pub(crate) struct Cluster {
    target: Arc<Target>,
    /// Where the brokers are.
    nodes: HashMap<Node, (String, u16)>,
    links: HashMap<Node, Link>,
    /// The first that was reached, which knows the others.
    first: Link,
    topics: Arc<Topics>,
}

impl Cluster {
    /// Reaches one of the brokers, the first that answers.
    pub(crate) async fn connect(target: Arc<Target>) -> Result<Self, Fault> {
        let mut last = Fault::Other("there is no address to connect to".into());
        for (host, port) in &target.addresses {
            match open(&target, (host, *port)).await {
                Ok(first) => {
                    let (nodes, links, topics) = Default::default();
                    return Ok(Self { target, nodes, links, first, topics });
                }
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    /// Where the first connection leads.
    pub(crate) fn address(&self) -> &str {
        self.first.address()
    }

    /// Partitions of a topic that was looked up.
    pub(crate) fn partitions(&self, topic: &str) -> Option<u32> {
        self.topics.get(topic).and_then(|leaders| u32::try_from(leaders.len()).ok())
    }

    /// Who leads a partition of a topic that was looked up.
    pub(crate) fn leader(&self, topic: &str, partition: u32) -> Option<Node> {
        let leaders = self.topics.get(topic)?;
        usize::try_from(partition).ok().and_then(|index| leaders.get(index)).copied()
    }

    /// All topics that were looked up: the same, until one is looked up or forgotten.
    pub(crate) fn topics(&self) -> Arc<Topics> {
        Arc::clone(&self.topics)
    }

    /// How many topics are known.
    pub(crate) fn topics_known(&self) -> usize {
        self.topics.len()
    }

    /// Everything about topics is to be looked up anew.
    pub(crate) fn forget_topics(&mut self) {
        self.topics = Arc::default();
    }

    /// Looks a topic up; waits for leaders that are being chosen, so long. An unknown topic is
    /// made by the other side if it does that, and if it is to be.
    pub(crate) async fn look_up(
        &mut self,
        topic: &str,
        may_make: bool,
        within: Duration,
    ) -> Result<(), Fault> {
        let deadline = Instant::now() + within;
        loop {
            match self.look_once(topic, may_make).await {
                Err(fault) if fault.is_passing() && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// The same for many topics, which are waited for together; answers those that were not found,
    /// and why.
    pub(crate) async fn look_up_all(
        &mut self,
        mut topics: Vec<String>,
        may_make: bool,
        within: Duration,
    ) -> Result<Vec<(String, Fault)>, Fault> {
        let deadline = Instant::now() + within;
        let mut missing = Vec::new();
        while !topics.is_empty() {
            let mut waiting = Vec::new();
            for topic in topics {
                match self.look_once(&topic, may_make).await {
                    Ok(()) => (),
                    Err(fault) if fault.is_passing() && Instant::now() < deadline => {
                        waiting.push(topic);
                    }
                    Err(fault @ Fault::Refused { .. }) => missing.push((topic, fault)),
                    Err(fault) => return Err(fault),
                }
            }
            if !waiting.is_empty() {
                sleep(PAUSE).await;
            }
            topics = waiting;
        }
        Ok(missing)
    }

    async fn look_once(&mut self, topic: &str, may_make: bool) -> Result<(), Fault> {
        let name = TopicName(spoken(topic));
        let wanted = MetadataRequestTopic::default().with_name(Some(name));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![wanted]))
            .with_allow_auto_topic_creation(may_make);
        let answer = self.first.call(&request).await?;
        for broker in &answer.brokers {
            let port = u16::try_from(broker.port).unwrap_or_default();
            self.nodes.insert(broker.node_id.0, (broker.host.to_string(), port));
        }
        let is_it = |it: &&MetadataResponseTopic| it.name.as_ref().is_some_and(|it| **it == *topic);
        let found = answer.topics.iter().find(is_it);
        let found = found.ok_or_else(|| missing(topic))?;
        Fault::of(found.error_code, || format!("topic {topic:?}"))?;
        let mut leaders = vec![-1; found.partitions.len()];
        for partition in &found.partitions {
            let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
            if let Some(leader) = leaders.get_mut(index) {
                *leader = partition.leader_id.0;
            }
        }
        if leaders.is_empty() || leaders.contains(&-1) {
            let code = ResponseError::LeaderNotAvailable.code();
            Fault::of(code, || format!("topic {topic:?}"))?;
        }
        Arc::make_mut(&mut self.topics).insert(topic.to_owned(), leaders);
        Ok(())
    }

    /// Who coordinates this group or transaction; waits for one that is being chosen, so long.
    pub(crate) async fn coordinator(
        &mut self,
        kind: Coordinates,
        key: &str,
        within: Duration,
    ) -> Result<Node, Fault> {
        let deadline = Instant::now() + within;
        let request =
            FindCoordinatorRequest::default().with_key(spoken(key)).with_key_type(kind as i8);
        loop {
            let answer = self.first.call(&request).await?;
            let found = Fault::of(answer.error_code, || format!("coordinator of {key:?}"));
            match found {
                Ok(()) => {
                    let port = u16::try_from(answer.port).unwrap_or_default();
                    self.nodes.insert(answer.node_id.0, (answer.host.to_string(), port));
                    return Ok(answer.node_id.0);
                }
                Err(fault) if fault.is_passing() && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// The connection to a broker.
    pub(crate) async fn link(&mut self, node: Node) -> Result<&mut Link, Fault> {
        if !self.links.contains_key(&node) {
            let Some((host, port)) = self.nodes.get(&node).cloned() else {
                return Err(Fault::Other(format!("broker {node} is not known")));
            };
            let link = open(&self.target, (&host, port)).await?;
            self.links.insert(node, link);
        }
        self.links.get_mut(&node).ok_or_else(|| Fault::Other("no connection".into()))
    }

    /// Asks any broker.
    pub(crate) async fn call_any<Q: Call>(&mut self, request: &Q) -> Result<Q::Response, Fault> {
        self.first.call(request).await
    }

    /// Asks one broker.
    pub(crate) async fn call<Q: Call>(
        &mut self,
        node: Node,
        request: &Q,
    ) -> Result<Q::Response, Fault> {
        self.link(node).await?.call(request).await
    }
}

/// A connection, signed in.
async fn open(target: &Arc<Target>, place: (&str, u16)) -> Result<Link, Fault> {
    let mut link = Link::connect(target, place).await?;
    if let Some(who) = &target.sign_in {
        sign_in(&mut link, who).await?;
    }
    Ok(link)
}

fn missing(topic: &str) -> Fault {
    Fault::Refused {
        what: format!("topic {topic:?}"),
        code: ResponseError::UnknownTopicOrPartition.code(),
    }
}
