//! How the records of a batch are compressed: Kafka's codecs 3 and 4. Never trusts a size that a
//! peer claims.

use std::io::{self, Read, Write};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};

/// The most that the records of one batch may come to when they are decompressed: a few bytes can
/// claim to be many.
pub const RECORDS_BYTES_MAX: usize = 64 << 20;

/// Above it zstd gains little and costs much.
const ZSTD_LEVEL: i32 = 1;

/// Kafka's numbers.
const CODEC_NONE: u8 = 0;
const CODEC_LZ4: u8 = 3;
const CODEC_ZSTD: u8 = 4;

/// How records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4 in its frame format: fast.
    Lz4,
    /// Zstandard: small.
    Zstd,
}

impl Compression {
    /// Its number in the attributes of a batch.
    #[must_use]
    pub fn codec(self) -> u8 {
        match self {
            Self::None => CODEC_NONE,
            Self::Lz4 => CODEC_LZ4,
            Self::Zstd => CODEC_ZSTD,
        }
    }

    /// The compression with that number, if it is supported.
    #[must_use]
    pub fn from_codec(codec: u8) -> Option<Self> {
        match codec {
            CODEC_NONE => Some(Self::None),
            CODEC_LZ4 => Some(Self::Lz4),
            CODEC_ZSTD => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Adds `plain` to `out`, compressed.
    ///
    /// # Errors
    /// When the codec fails, which memory alone can make it.
    pub fn compress(self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::None => out.extend_from_slice(plain),
            Self::Lz4 => {
                let mut encoder = FrameEncoder::new(out);
                encoder.write_all(plain)?;
                encoder.finish()?;
            }
            Self::Zstd => out.extend_from_slice(&zstd::bulk::compress(plain, ZSTD_LEVEL)?),
        }
        Ok(())
    }

    /// What was compressed, if it is no longer than `bytes_max`.
    pub(super) fn decompress(self, packed: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(packed.to_vec()),
            Self::Lz4 => read_bounded(FrameDecoder::new(packed), bytes_max),
            Self::Zstd => {
                read_bounded(zstd::stream::read::Decoder::with_buffer(packed)?, bytes_max)
            }
        }
    }
}

fn read_bounded(reader: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > bytes_max {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::Compression;

    #[test]
    fn what_was_compressed_comes_back_within_its_bound_only() {
        let plain: Vec<u8> = (0..200_000_u32).map(|n| (n % 17).to_le_bytes()[0]).collect();
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let mut packed = Vec::new();
            compression.compress(&plain, &mut packed).expect("memory is enough");
            let back = compression.decompress(&packed, plain.len()).expect("within its bound");
            assert!(back == plain, "{compression:?}");
            assert_eq!(Compression::from_codec(compression.codec()), Some(compression));
            if compression != Compression::None {
                assert!(packed.len() < plain.len() / 10, "{compression:?}");
                assert!(compression.decompress(&packed, plain.len() - 1).is_err());
                assert!(compression.decompress(&packed[..packed.len() / 2], 1 << 30).is_err());
            }
        }
        assert_eq!(Compression::from_codec(1), None);
    }
}
