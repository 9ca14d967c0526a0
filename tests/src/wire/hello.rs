//! CONNECT of MQTT 5 with all that it may say, and properties as bytes.

use super::frames::frame;

/// A CONNECT; change what matters with `..Hello::new(…)`.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// Empty asks for a name.
    pub client_id: &'a str,
    /// Whether the session of before ends.
    pub clean: bool,
    /// Properties as bytes, without their length.
    pub properties: &'a [u8],
    /// What is published when the client is lost.
    pub will: Option<LastWill<'a>>,
    /// User name and password.
    pub login: Option<(&'a str, &'a str)>,
}

/// A will; change what matters with `..LastWill::new(…)`.
#[derive(Clone, Copy, Debug)]
pub struct LastWill<'a> {
    /// Where.
    pub topic: &'a str,
    /// What.
    pub payload: &'a str,
    /// At which level.
    pub qos: u8,
    /// Whether it becomes the retained message.
    pub retain: bool,
    /// Properties as bytes, without their length.
    pub properties: &'a [u8],
}

impl<'a> Hello<'a> {
    /// A clean start and nothing more.
    #[must_use]
    pub const fn new(client_id: &'a str) -> Self {
        Self { client_id, clean: true, properties: &[], will: None, login: None }
    }

    /// The packet. It asks for ten minutes of keep-alive.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = b"\x00\x04MQTT\x05".to_vec();
        let will =
            self.will.map_or(0, |will| 0x04 | (will.qos << 3) | if will.retain { 0x20 } else { 0 });
        let login = if self.login.is_some() { 0xc0 } else { 0 };
        body.push(will | login | if self.clean { 0x02 } else { 0 });
        body.extend_from_slice(&600_u16.to_be_bytes());
        block(&mut body, self.properties);
        text(&mut body, self.client_id);
        if let Some(will) = &self.will {
            block(&mut body, will.properties);
            text(&mut body, will.topic);
            text(&mut body, will.payload);
        }
        if let Some((user, password)) = self.login {
            text(&mut body, user);
            text(&mut body, password);
        }
        frame(0x10, &body)
    }
}

impl<'a> LastWill<'a> {
    /// At QoS 1, not retained, at once.
    #[must_use]
    pub const fn new(topic: &'a str, payload: &'a str) -> Self {
        Self { topic, payload, qos: 1, retain: false, properties: &[] }
    }
}

/// Properties as bytes.
pub mod property {
    /// Session Expiry Interval.
    #[must_use]
    pub fn session_expiry(seconds: u32) -> Vec<u8> {
        number(0x11, seconds)
    }

    /// Will Delay Interval.
    #[must_use]
    pub fn will_delay(seconds: u32) -> Vec<u8> {
        number(0x18, seconds)
    }

    /// Message Expiry Interval.
    #[must_use]
    pub fn message_expiry(seconds: u32) -> Vec<u8> {
        number(0x02, seconds)
    }

    /// A property that holds a string or bytes.
    ///
    /// # Panics
    /// When the value is too long.
    #[must_use]
    pub fn text(id: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![id];
        super::sized(&mut bytes, value);
        bytes
    }

    /// A property of two bytes.
    #[must_use]
    pub fn short(id: u8, value: u16) -> Vec<u8> {
        let [high, low] = value.to_be_bytes();
        vec![id, high, low]
    }

    /// A user property.
    ///
    /// # Panics
    /// When it is too long.
    #[must_use]
    pub fn user(name: &str, value: &str) -> Vec<u8> {
        let mut bytes = text(0x26, name.as_bytes());
        super::sized(&mut bytes, value.as_bytes());
        bytes
    }

    fn number(id: u8, value: u32) -> Vec<u8> {
        let mut bytes = vec![id];
        bytes.extend_from_slice(&value.to_be_bytes());
        bytes
    }
}

/// A property block: its length, one byte or two, then the properties.
fn block(body: &mut Vec<u8>, properties: &[u8]) {
    let length = properties.len();
    let low = u8::try_from(length & 0x7f).expect("seven bits");
    match u8::try_from(length >> 7).expect("test properties are short") {
        0 => body.push(low),
        high => body.extend_from_slice(&[low | 0x80, high]),
    }
    body.extend_from_slice(properties);
}

fn text(body: &mut Vec<u8>, value: &str) {
    sized(body, value.as_bytes());
}

fn sized(body: &mut Vec<u8>, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("test texts are short");
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::{Hello, LastWill, property};
    use crate::hex::{parse, show};

    #[test]
    fn a_hello_is_as_the_specification_writes_it() {
        let expiry = property::session_expiry(9);
        let delay = property::will_delay(5);
        let will = LastWill { retain: true, properties: &delay, ..LastWill::new("w", "x") };
        let hello =
            Hello { clean: false, properties: &expiry, will: Some(will), ..Hello::new("a") };
        let expected = "10 1f 00 04 'MQTT' 05 2c 02 58 05 11 00 00 00 09 00 01 'a' \
                        05 18 00 00 00 05 00 01 'w' 00 01 'x'";
        assert_eq!(show(&hello.bytes()), show(&parse(expected).expect("our own hex")));
    }
}
