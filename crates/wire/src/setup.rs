//! What crosses the SSH channel: hello, request, answer, and a few words while
//! the session runs.
//!
//! Every message is `kind(1) · length(4) · body`. The client sends [`Hello`]
//! and [`Request`] without waiting; the server sends its own [`Hello`] and an
//! [`Answer`] or a [`Refusal`]. Afterwards the channel carries
//! [`SetupMessage::UdpSeen`] and [`SetupMessage::Ended`]; its orderly close
//! ends the session, its loss does not.
//!
//! The keys of the session depend on every byte of hello, request and answer.

use std::net::IpAddr;

use crate::codec::{DecodeError, Reader, Sink};
use crate::control::Summary;
use crate::{Code, Rate, SessionId};

/// Versions of the protocol that this software speaks, lowest and highest.
pub const VERSIONS: (u16, u16) = (1, 1);
/// Longest body of a set-up message, bytes.
pub const MAX_BODY: usize = 4 << 20;
/// Most sources in one request.
pub const MAX_SOURCES: usize = 65_536;
/// Longest software name and version.
const MAX_SOFTWARE: usize = 128;
/// Longest text for people.
const MAX_TEXT: usize = 2048;
/// Opens every hello, so that a login script's chatter is told from a peer.
const MAGIC: [u8; 8] = *b"limosa\r\n";
/// Bytes in front of a body.
pub const SETUP_HEADER: usize = 5;

/// Declares an enum whose variants are single bytes on the wire.
macro_rules! byte_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// All choices.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// The choice with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let number = reader.u8()?;
                Self::from_number(number).ok_or_else(|| reader.unknown())
            }
        }
    };
}

byte_enum! {
    /// Which way the files go.
    Direction {
        /// From the client to the server.
        Upload = 1,
        /// From the server to the client.
        Download = 2,
    }
}

byte_enum! {
    /// How datagrams are protected.
    Suite {
        /// AES-128 in GCM.
        Aes128Gcm = 1,
        /// AES-192 in GCM.
        Aes192Gcm = 2,
        /// AES-256 in GCM.
        Aes256Gcm = 3,
        /// AES-128 in CFB, and HMAC-SHA-256 over what it made.
        Aes128Cfb = 4,
        /// AES-192 in CFB, and HMAC-SHA-256 over what it made.
        Aes192Cfb = 5,
        /// AES-256 in CFB, and HMAC-SHA-256 over what it made.
        Aes256Cfb = 6,
        /// No encryption; HMAC-SHA-256 against changes.
        Unencrypted = 7,
    }
}

/// How a suite uses its cipher, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuiteMode {
    /// Galois/Counter Mode, which authenticates too (NIST SP 800-38D).
    Gcm,
    /// Cipher Feedback of whole blocks (NIST SP 800-38A), then a MAC.
    Cfb,
    /// A MAC alone.
    Unencrypted,
}

impl Suite {
    /// How it uses its cipher.
    #[must_use]
    pub const fn mode(self) -> SuiteMode {
        match self {
            Self::Aes128Gcm | Self::Aes192Gcm | Self::Aes256Gcm => SuiteMode::Gcm,
            Self::Aes128Cfb | Self::Aes192Cfb | Self::Aes256Cfb => SuiteMode::Cfb,
            Self::Unencrypted => SuiteMode::Unencrypted,
        }
    }

    /// Length of its cipher's key, bits; 0 without a cipher.
    #[must_use]
    pub const fn key_bits(self) -> u16 {
        match self {
            Self::Unencrypted => 0,
            Self::Aes128Gcm | Self::Aes128Cfb => 128,
            Self::Aes192Gcm | Self::Aes192Cfb => 192,
            Self::Aes256Gcm | Self::Aes256Cfb => 256,
        }
    }

    /// Its name, as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes-128-gcm",
            Self::Aes192Gcm => "aes-192-gcm",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::Aes128Cfb => "aes-128-cfb",
            Self::Aes192Cfb => "aes-192-cfb",
            Self::Aes256Cfb => "aes-256-cfb",
            Self::Unencrypted => "none",
        }
    }
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

byte_enum! {
    /// How the chunks of a file are digested.
    ContentDigest {
        /// BLAKE3.
        Blake3 = 1,
        /// SHA-256.
        Sha256 = 2,
    }
}

byte_enum! {
    /// Which law sets the pace.
    RatePolicy {
        /// At the given rate, whatever the line says.
        Fixed = 1,
        /// Fill what is free, share evenly.
        Fair = 2,
        /// The same, with about twice an equal flow's share.
        High = 3,
        /// Fill what others leave, and give way to them.
        Low = 4,
    }
}

impl RatePolicy {
    /// All that take no more of a line from others than this one.
    #[must_use]
    pub fn up_to_this(self) -> Vec<Self> {
        let by_assertiveness = [Self::Low, Self::Fair, Self::High, Self::Fixed];
        let this = by_assertiveness.iter().position(|&policy| policy == self);
        by_assertiveness.into_iter().take(this.map_or(0, |this| this + 1)).collect()
    }
}

byte_enum! {
    /// What is compared before a partial file is continued or a complete one
    /// is taken as it is.
    ResumeLevel {
        /// Nothing: every file is sent whole.
        None = 0,
        /// Size and modification time; what the journal holds is trusted.
        Attributes = 1,
        /// And samples of the content.
        Sample = 2,
        /// And the whole content.
        Full = 3,
    }
}

byte_enum! {
    /// How sure a name is to survive a crash once it is reported.
    Durability {
        /// Nothing is synced.
        None = 0,
        /// A file's bytes are on disk before its name appears.
        File = 1,
        /// And its directory before the file is reported.
        Strict = 2,
    }
}

byte_enum! {
    /// What becomes of symbolic links at the source.
    Symlinks {
        /// What they point at is sent in their place.
        Follow = 1,
        /// They are sent as links.
        Copy = 2,
        /// They are left out.
        Skip = 3,
    }
}

byte_enum! {
    /// What becomes of a file that stands at the destination already.
    Overwrite {
        /// It is replaced.
        Always = 1,
        /// It stays, and the entry fails.
        Never = 2,
        /// It is replaced if it differs under the resume level's comparison.
        Different = 3,
    }
}

/// What a client says of the content that it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentProtection {
    /// Nothing.
    #[default]
    None,
    /// Its files are sealed: each is an envelope.
    Sealed,
    /// They are, for a passphrase that is hard to guess or for public keys.
    SealedStrongly,
}

/// First message of each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Lowest and highest version spoken.
    pub versions: (u16, u16),
    /// Name and version of the software, for messages and logs.
    pub software: String,
    /// Optional abilities, one bit each; unknown bits are ignored.
    pub capabilities: u64,
}

/// What the client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which way.
    pub direction: Direction,
    /// Names this transfer (destination, source identity, direction): a newer
    /// session of the same user with the same name takes over.
    pub transfer: [u8; 16],
    /// The client's part of the key material.
    pub random: [u8; 32],
    /// Suites it would use, best first.
    pub suites: Vec<Suite>,
    /// Digests it would use, best first.
    pub digests: Vec<ContentDigest>,
    /// Law for the sending side.
    pub policy: RatePolicy,
    /// Rate asked for.
    pub rate: Option<Rate>,
    /// Resume level.
    pub resume: ResumeLevel,
    /// Durability at the receiving side.
    pub durability: Durability,
    /// What becomes of links at the source.
    pub symlinks: Symlinks,
    /// What becomes of what is there.
    pub overwrite: Overwrite,
    /// Whether permission bits are kept.
    pub keep_mode: bool,
    /// Whether modification times are kept.
    pub keep_times: bool,
    /// For a download: nothing stands at the client's destination yet.
    pub fresh: bool,
    /// For an upload: how the content is protected.
    pub protection: ContentProtection,
    /// How many sources the user named.
    pub source_count: u32,
    /// Upload: the destination, as typed. Download: the sources, as typed.
    pub paths: Vec<Vec<u8>>,
}

/// Where the server takes datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpEndpoint {
    /// The address, where it is not the one that SSH reached.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// The server's consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Version in force.
    pub version: u16,
    /// The session.
    pub session: SessionId,
    /// Where to send datagrams, best first; at least one.
    pub udp: Vec<UdpEndpoint>,
    /// Suite in force.
    pub suite: Suite,
    /// Digest in force.
    pub digest: ContentDigest,
    /// The server's part of the key material: drawn for this session alone.
    pub random: [u8; 32],
    /// Law in force.
    pub policy: RatePolicy,
    /// Highest rate the server allows.
    pub rate_cap: Rate,
    /// Upload: nothing stands at the destination, so data need not wait.
    pub fresh: bool,
    /// Bytes that may be outstanding whose layout is not acknowledged.
    pub orphan_credit: u64,
    /// How long the session outlives silence, seconds.
    pub timeout_seconds: u32,
}

/// The server's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// More about it, for people.
    pub detail: String,
}

/// How a session ended for the side that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Reason; [`Code::OK`] if all went well.
    pub code: Code,
    /// More about it, for people.
    pub detail: String,
    /// What was done.
    pub summary: Summary,
}

/// One message on the SSH channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupMessage {
    /// First of each side.
    Hello(Hello),
    /// Second of the client.
    Request(Box<Request>),
    /// Second of the server, in case of consent.
    Answer(Box<Answer>),
    /// Second of the server otherwise; the last.
    Refusal(Refusal),
    /// From the server: what arrived at the UDP port for this session so far.
    UdpSeen {
        /// Datagrams that named the session.
        datagrams: u64,
        /// Datagrams of it that were authentic.
        authentic: u64,
    },
    /// The last of either side.
    Ended(Ended),
}

const HELLO: u8 = 0x01;
const REQUEST: u8 = 0x02;
const ANSWER: u8 = 0x03;
const REFUSAL: u8 = 0x04;
const UDP_SEEN: u8 = 0x05;
const ENDED: u8 = 0x06;

impl SetupMessage {
    /// The message as bytes.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; SETUP_HEADER];
        bytes[0] = self.put_body(&mut bytes);
        let length = (bytes.len() - SETUP_HEADER) as u32;
        bytes[1..SETUP_HEADER].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    fn put_body(&self, sink: &mut Vec<u8>) -> u8 {
        match self {
            Self::Hello(hello) => {
                sink.put(&MAGIC);
                sink.put_u16(hello.versions.0);
                sink.put_u16(hello.versions.1);
                put_text(sink, &hello.software, MAX_SOFTWARE);
                sink.put_u64(hello.capabilities);
                HELLO
            }
            Self::Request(request) => {
                put_request(sink, request);
                REQUEST
            }
            Self::Answer(answer) => {
                put_answer(sink, answer);
                ANSWER
            }
            Self::Refusal(refusal) => {
                sink.put_u16(refusal.code.number());
                put_text(sink, &refusal.detail, MAX_TEXT);
                REFUSAL
            }
            Self::UdpSeen { datagrams, authentic } => {
                sink.put_varint(*datagrams);
                sink.put_varint(*authentic);
                UDP_SEEN
            }
            Self::Ended(ended) => {
                sink.put_u16(ended.code.number());
                put_text(sink, &ended.detail, MAX_TEXT);
                for field in ended.summary.fields() {
                    sink.put_varint(field);
                }
                ENDED
            }
        }
    }

    /// Length of the body behind a header, to know how much to read.
    ///
    /// # Errors
    /// If no message starts like this or it would be too long. A first message
    /// that fails here is most likely text: something printed by the remote
    /// account's login scripts.
    pub fn body_length(header: [u8; SETUP_HEADER]) -> Result<usize, DecodeError> {
        let mut reader = Reader::new("set-up message", &header);
        let kind = reader.u8()?;
        let length = reader.u32()? as usize;
        if !(HELLO..=ENDED).contains(&kind) {
            return Err(reader.unknown());
        }
        if length > MAX_BODY { Err(reader.range()) } else { Ok(length) }
    }

    /// Reads a whole message, header included.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("set-up message", bytes);
        let header = reader.array::<SETUP_HEADER>()?;
        let body = reader.take(Self::body_length(header)?)?;
        reader.end()?;
        let mut reader = Reader::new("set-up message", body);
        let message = match header[0] {
            HELLO => Self::Hello(read_hello(&mut reader)?),
            REQUEST => Self::Request(Box::new(read_request(&mut reader)?)),
            ANSWER => Self::Answer(Box::new(read_answer(&mut reader)?)),
            REFUSAL => Self::Refusal(Refusal {
                code: Code::from_number(reader.u16()?),
                detail: reader.text(MAX_TEXT)?.to_owned(),
            }),
            UDP_SEEN => Self::UdpSeen { datagrams: reader.varint()?, authentic: reader.varint()? },
            ENDED => Self::Ended(read_ended(&mut reader)?),
            _ => return Err(reader.unknown()),
        };
        reader.end()?;
        Ok(message)
    }
}

fn put_text(sink: &mut Vec<u8>, text: &str, limit: usize) {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    sink.put_string(&text.as_bytes()[..end]);
}

fn read_hello(reader: &mut Reader<'_>) -> Result<Hello, DecodeError> {
    if reader.array::<8>()? != MAGIC {
        return Err(reader.unknown());
    }
    let versions = (reader.u16()?, reader.u16()?);
    if versions.0 == 0 || versions.0 > versions.1 {
        return Err(reader.range());
    }
    Ok(Hello { versions, software: reader.text(MAX_SOFTWARE)?.to_owned(), capabilities: reader.u64()? })
}

const KEEP_MODE: u8 = 0x01;
const KEEP_TIMES: u8 = 0x02;
const FRESH: u8 = 0x04;
const SEALED: u8 = 0x08;
const STRONGLY: u8 = 0x10;

fn put_request(sink: &mut Vec<u8>, request: &Request) {
    sink.put_u8(request.direction.number());
    sink.put(&request.transfer);
    sink.put(&request.random);
    put_choices(sink, &request.suites, Suite::number);
    put_choices(sink, &request.digests, ContentDigest::number);
    sink.put_u8(request.policy.number());
    sink.put_varint(request.rate.map_or(0, Rate::bits_per_second));
    sink.put_u8(request.resume.number());
    sink.put_u8(request.durability.number());
    sink.put_u8(request.symlinks.number());
    sink.put_u8(request.overwrite.number());
    let flags = [
        (request.keep_mode, KEEP_MODE),
        (request.keep_times, KEEP_TIMES),
        (request.fresh, FRESH),
        (request.protection >= ContentProtection::Sealed, SEALED),
        (request.protection == ContentProtection::SealedStrongly, STRONGLY),
    ];
    sink.put_u8(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
    sink.put_u32(request.source_count);
    sink.put_varint(request.paths.len() as u64);
    for path in &request.paths {
        sink.put_string(path);
    }
}

fn read_request(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let direction = Direction::read(reader)?;
    let transfer = reader.array()?;
    let random = reader.array()?;
    let suites = read_choices(reader, Suite::from_number)?;
    let digests = read_choices(reader, ContentDigest::from_number)?;
    let policy = RatePolicy::read(reader)?;
    let rate = match reader.varint()? {
        0 => None,
        bits => Some(Rate::from_bits_per_second(bits)),
    };
    let resume = ResumeLevel::read(reader)?;
    let durability = Durability::read(reader)?;
    let symlinks = Symlinks::read(reader)?;
    let overwrite = Overwrite::read(reader)?;
    let flags = reader.u8()?;
    let protection = match flags & !(KEEP_MODE | KEEP_TIMES | FRESH) {
        0 => ContentProtection::None,
        SEALED => ContentProtection::Sealed,
        both if both == SEALED | STRONGLY => ContentProtection::SealedStrongly,
        _ => return Err(reader.unknown()),
    };
    let source_count = reader.u32()?;
    let count = reader.count(MAX_SOURCES)?;
    if count == 0 {
        return Err(reader.range());
    }
    let paths =
        (0..count).map(|_| reader.string(crate::layout::MAX_PATH).map(<[u8]>::to_vec)).collect::<Result<_, _>>()?;
    Ok(Request {
        direction,
        transfer,
        random,
        suites,
        digests,
        policy,
        rate,
        resume,
        durability,
        symlinks,
        overwrite,
        keep_mode: flags & KEEP_MODE != 0,
        keep_times: flags & KEEP_TIMES != 0,
        fresh: flags & FRESH != 0,
        protection,
        source_count,
        paths,
    })
}

#[allow(clippy::cast_possible_truncation)]
fn put_choices<T: Copy>(sink: &mut Vec<u8>, choices: &[T], number: impl Fn(T) -> u8) {
    sink.put_u8(choices.len() as u8);
    for choice in choices {
        sink.put_u8(number(*choice));
    }
}

/// Choices that this version does not know are left out, not refused: the
/// other side may know more.
fn read_choices<T>(reader: &mut Reader<'_>, known: impl Fn(u8) -> Option<T>) -> Result<Vec<T>, DecodeError> {
    let count = usize::from(reader.u8()?);
    Ok(reader.take(count)?.iter().copied().filter_map(known).collect())
}

fn put_answer(sink: &mut Vec<u8>, answer: &Answer) {
    sink.put_u16(answer.version);
    sink.put_u32(answer.session.0);
    sink.put_varint(answer.udp.len() as u64);
    for endpoint in &answer.udp {
        match endpoint.address {
            None => sink.put_u8(0),
            Some(IpAddr::V4(address)) => {
                sink.put_u8(4);
                sink.put(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                sink.put_u8(6);
                sink.put(&address.octets());
            }
        }
        sink.put_u16(endpoint.port);
    }
    sink.put_u8(answer.suite.number());
    sink.put_u8(answer.digest.number());
    sink.put(&answer.random);
    sink.put_u8(answer.policy.number());
    sink.put_varint(answer.rate_cap.bits_per_second());
    sink.put_u8(u8::from(answer.fresh));
    sink.put_varint(answer.orphan_credit);
    sink.put_u32(answer.timeout_seconds);
}

fn read_answer(reader: &mut Reader<'_>) -> Result<Answer, DecodeError> {
    const MAX_ENDPOINTS: usize = 16;
    let version = reader.u16()?;
    let session = SessionId(reader.u32()?);
    let count = reader.count(MAX_ENDPOINTS)?;
    let udp = (0..count).map(|_| read_endpoint(reader)).collect::<Result<Vec<_>, _>>()?;
    if udp.is_empty() {
        return Err(reader.range());
    }
    Ok(Answer {
        version,
        session,
        udp,
        suite: Suite::read(reader)?,
        digest: ContentDigest::read(reader)?,
        random: reader.array()?,
        policy: RatePolicy::read(reader)?,
        rate_cap: Rate::from_bits_per_second(reader.varint()?),
        fresh: match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.range()),
        },
        orphan_credit: reader.varint()?,
        timeout_seconds: reader.u32()?,
    })
}

fn read_endpoint(reader: &mut Reader<'_>) -> Result<UdpEndpoint, DecodeError> {
    let address = match reader.u8()? {
        0 => None,
        4 => Some(IpAddr::from(reader.array::<4>()?)),
        6 => Some(IpAddr::from(reader.array::<16>()?)),
        _ => return Err(reader.unknown()),
    };
    let port = reader.u16()?;
    if port == 0 { Err(reader.range()) } else { Ok(UdpEndpoint { address, port }) }
}

fn read_ended(reader: &mut Reader<'_>) -> Result<Ended, DecodeError> {
    let code = Code::from_number(reader.u16()?);
    let detail = reader.text(MAX_TEXT)?.to_owned();
    let mut fields = [0; 6];
    for field in &mut fields {
        *field = reader.varint()?;
    }
    Ok(Ended { code, detail, summary: Summary::from_fields(fields) })
}

#[cfg(test)]
mod tests;
