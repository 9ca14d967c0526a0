//! The closed sets of words that label a series. Few and fixed: never a client id or a topic.

/// A closed set of labels, numbered from zero.
pub trait Label: Copy {
    /// How many there are.
    const COUNT: usize;

    /// The number of this one, below `COUNT`.
    fn index(self) -> usize;

    /// Key and word of each label that the number stands for.
    fn pairs(index: usize) -> Vec<(&'static str, &'static str)>;
}

/// Two labels: the number of the pair counts the second fastest.
impl<A: Label, B: Label> Label for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn pairs(index: usize) -> Vec<(&'static str, &'static str)> {
        let mut pairs = A::pairs(index / B::COUNT);
        pairs.extend(B::pairs(index % B::COUNT));
        pairs
    }
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident as $key:literal {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl Label for $name {
            const COUNT: usize = Self::WORDS.len();

            fn index(self) -> usize {
                self as usize
            }

            fn pairs(index: usize) -> Vec<(&'static str, &'static str)> {
                Self::WORDS.get(index).map(|word| ($key, *word)).into_iter().collect()
            }
        }
    };
}

labels! {
    /// Why a connection was turned away.
    RefuseReason as "reason" {
        /// As many connections as are allowed are open.
        Limit = "limit",
        /// As many connections as are allowed are open at its listener.
        Listener = "listener",
        /// As many connections as are allowed come from its address.
        Address = "address",
        /// More come from its address in a minute than are allowed.
        AddressRate = "address_rate",
        /// It comes from none of the proxies that stand before its listener.
        ProxyFrom = "proxy_from",
        /// Its proxy does not say whose it is.
        ProxyHeader = "proxy_header",
        /// It is a page of an origin that may not connect.
        Origin = "origin",
        /// No CONNECT, or no header of its proxy, came in time.
        Timeout = "timeout",
        /// The first packet was no CONNECT, or a broken one.
        Malformed = "malformed",
        /// A protocol version that we do not speak.
        Version = "version",
        /// A client id that we do not accept.
        ClientId = "client_id",
        /// Sign-in failed, or the client may not connect.
        NotAuthorized = "not_authorized",
        /// Wrong passwords came too often from there, or for that user.
        Guessing = "guessing",
        /// As many clients as may be, or as may be of its address, are not in yet; or what is
        /// kept of them takes as many bytes as it may.
        Unauthenticated = "unauthenticated",
        /// Too many passwords wait to be checked.
        Busy = "busy",
        /// An operator shut it out.
        Banned = "banned",
        /// As many sessions are kept as may be.
        Sessions = "sessions",
        /// Its CONNECT has more user properties than it may.
        Properties = "user_properties",
        /// The wills that are kept take as many bytes as they may.
        Wills = "wills",
        /// We are starting or stopping, or the store is not there.
        Unavailable = "unavailable",
    }
}

labels! {
    /// Why an accepted connection ended.
    CloseReason as "reason" {
        /// The client said DISCONNECT.
        Disconnect = "disconnect",
        /// The socket was closed or broke without DISCONNECT.
        Lost = "lost",
        /// Nothing was heard for longer than the keep-alive allows.
        KeepAlive = "keep_alive",
        /// The same client id connected again.
        TakenOver = "taken_over",
        /// The client broke the protocol.
        Protocol = "protocol",
        /// The client went over one of its limits.
        Limit = "limit",
        /// The client did not read what we wrote.
        Slow = "slow",
        /// The time that it had by its token, or by the HTTP hook, is over.
        Expired = "expired",
        /// An operator sent it away.
        Expelled = "expelled",
        /// We stop.
        Shutdown = "shutdown",
    }
}

labels! {
    /// Why a reader did not get a message, or it was refused.
    DropReason as "reason" {
        /// The reader did not keep up (QoS 0 only).
        Slow = "slow",
        /// Its time to live was over.
        Expired = "expired",
        /// Larger than the reader accepts.
        TooLarge = "too_large",
        /// The publisher may not publish there.
        NotAuthorized = "not_authorized",
        /// The store refused it: the disk is full, or broken.
        Store = "store",
        /// Retention deleted it before it was read.
        Retention = "retention",
        /// A member of its share group did not want it.
        Refused = "refused",
        /// No member of its share group acknowledged it.
        Attempts = "attempts",
        /// As many messages are retained as may be.
        RetainedLimit = "retained_limit",
        /// It has more user properties than a packet may have.
        UserProperties = "user_properties",
        /// Its publisher, or its listener, was too fast.
        RateLimit = "rate_limit",
        /// As many messages wait for their time as may.
        DelayedLimit = "delayed_limit",
        /// Its topic is not one that may be published to.
        Invalid = "invalid",
        /// It has been here, and came back over links.
        Loop = "loop",
    }
}

labels! {
    /// Why a filter of a SUBSCRIBE was refused.
    FilterFault as "reason" {
        /// The client may not receive what it matches.
        NotAuthorized = "not_authorized",
        /// It is no filter, or says nowhere to begin where it should.
        Malformed = "malformed",
        /// It is longer than it may be.
        TooLong = "too_long",
        /// It has more levels than it may.
        Levels = "levels",
        /// A shared one asks for what only one session can have, or an exclusive one to be shared.
        Combination = "combination",
        /// Its SUBSCRIBE has more filters than it may.
        Packet = "filters_per_subscribe",
        /// The session has as many subscriptions, or bytes of them, as it may.
        Session = "subscriptions_per_session",
        /// The session is a member of as many share groups as it may be.
        SessionGroups = "share_groups_per_session",
        /// There are as many share groups as may be.
        Groups = "share_groups",
        /// Too many begin in the past at once, or began there this minute.
        Replays = "replays",
        /// Another session has it for itself.
        Taken = "taken",
        /// Its connection ended meanwhile.
        Gone = "gone",
    }
}

labels! {
    /// Whose limit made somebody wait, or was gone over.
    Throttled as "limit" {
        /// That of one client.
        Client = "client",
        /// That of all clients of a listener.
        Listener = "listener",
        /// That of new connections of a listener.
        Connections = "connections",
    }
}

labels! {
    /// Quality of service.
    Quality as "qos" {
        /// QoS 0.
        AtMostOnce = "0",
        /// QoS 1.
        AtLeastOnce = "1",
        /// QoS 2.
        ExactlyOnce = "2",
    }
}

labels! {
    /// Seen from us.
    Direction as "dir" {
        /// From a client.
        In = "in",
        /// To a client.
        Out = "out",
    }
}

labels! {
    /// Type of an MQTT packet, in the order of the protocol's numbers from 1.
    PacketType as "type" {
        /// CONNECT.
        Connect = "connect",
        /// CONNACK.
        Connack = "connack",
        /// PUBLISH.
        Publish = "publish",
        /// PUBACK.
        Puback = "puback",
        /// PUBREC.
        Pubrec = "pubrec",
        /// PUBREL.
        Pubrel = "pubrel",
        /// PUBCOMP.
        Pubcomp = "pubcomp",
        /// SUBSCRIBE.
        Subscribe = "subscribe",
        /// SUBACK.
        Suback = "suback",
        /// UNSUBSCRIBE.
        Unsubscribe = "unsubscribe",
        /// UNSUBACK.
        Unsuback = "unsuback",
        /// PINGREQ.
        Pingreq = "pingreq",
        /// PINGRESP.
        Pingresp = "pingresp",
        /// DISCONNECT.
        Disconnect = "disconnect",
        /// AUTH.
        Auth = "auth",
    }
}

labels! {
    /// Who was asked about what a client brought as its password.
    Backend as "backend" {
        /// Whoever knows tokens.
        Jwt = "jwt",
        /// The password file.
        PasswordFile = "password_file",
        /// The HTTP hook.
        Http = "http",
    }
}

labels! {
    /// What came of it.
    SignInResult as "result" {
        /// The client is who it says.
        Accepted = "accepted",
        /// It is not.
        Wrong = "wrong",
        /// What it has shown before decides.
        Ignored = "ignored",
        /// Too many wrong ones came: nobody looked.
        Guessing = "guessing",
        /// Too many wait: nobody looked.
        Busy = "busy",
        /// Nobody could look.
        Unavailable = "unavailable",
    }
}

labels! {
    /// Why a token was not taken.
    TokenFault as "reason" {
        /// It is none, or asks for what we do not have.
        Form = "form",
        /// It is signed in a way that is not allowed.
        Algorithm = "algorithm",
        /// It names a key that nobody knows.
        Key = "key",
        /// Its signature is wrong.
        Signature = "signature",
        /// It has expired, or does not say when it does.
        Expired = "expired",
        /// It does not hold yet.
        Early = "early",
        /// Somebody else made it.
        Issuer = "issuer",
        /// It is for somebody else.
        Audience = "audience",
        /// A claim that it must have is missing, or not of its form.
        Claim = "claim",
        /// It is for another user name.
        UserName = "user_name",
        /// It is for another client id.
        ClientId = "client_id",
    }
}

labels! {
    /// What came of asking the HTTP hook.
    HookResult as "result" {
        /// It lets the client in.
        Allow = "allow",
        /// It does not.
        Deny = "deny",
        /// It does not know the client.
        Ignore = "ignore",
        /// It had said so before, and was not asked again.
        Remembered = "remembered",
        /// No answer in time.
        Timeout = "timeout",
        /// A status that is not 200.
        Status = "status",
        /// An answer that is none.
        Malformed = "malformed",
        /// It could not be reached, or hung up.
        Unreachable = "unreachable",
    }
}

labels! {
    /// Whether a session has its client.
    SessionState as "state" {
        /// Its client is connected.
        Connected = "connected",
        /// It waits for its client.
        Disconnected = "disconnected",
    }
}

labels! {
    /// Kind of a subscription.
    SubscriptionKind as "kind" {
        /// For one session.
        Plain = "plain",
        /// A member of a share group.
        Shared = "shared",
    }
}

labels! {
    /// What came of a TLS handshake.
    TlsResult as "result" {
        /// It was done.
        Done = "done",
        /// It took too long.
        Timeout = "timeout",
        /// As many handshakes as are allowed are under way.
        Limit = "limit",
        /// The client went away.
        Lost = "lost",
        /// The client does not speak TLS.
        NotTls = "not_tls",
        /// The client broke the rules of TLS.
        Malformed = "malformed",
        /// No version of TLS, or no cipher, in common.
        Version = "version",
        /// No protocol (ALPN) in common.
        Protocol = "protocol",
        /// The client showed no certificate.
        NoCertificate = "no_certificate",
        /// An authority that we do not trust.
        UnknownAuthority = "unknown_authority",
        /// The time of the client's certificate is over, or has not begun.
        Expired = "expired",
        /// The client's certificate was revoked, or nobody can say.
        Revoked = "revoked",
        /// The client's certificate does not say who it is.
        Identity = "identity",
        /// The client's certificate cannot be used.
        BadCertificate = "bad_certificate",
        /// The client does not accept our certificate.
        Distrusted = "distrusted",
    }
}

labels! {
    /// A listener that speaks TLS.
    TlsListener as "listener" {
        /// MQTT.
        Mqtts = "mqtts",
        /// WebSocket.
        Wss = "wss",
        /// Kafka.
        Kafkas = "kafkas",
        /// Health, metrics and the API.
        Http = "http",
    }
}

labels! {
    /// What of a listener's TLS runs out.
    TlsFile as "file" {
        /// The server's certificate.
        Certificate = "certificate",
        /// An authority of clients.
        ClientCa = "client_ca",
        /// A list of revoked certificates.
        Crl = "crl",
    }
}

labels! {
    /// What came of reading certificates anew.
    ReloadResult as "result" {
        /// They are in use.
        Done = "done",
        /// Those before stay in use.
        Kept = "kept",
    }
}
