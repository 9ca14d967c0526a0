//! The shapes against the decoders they stand before: whatever a shape describes, the decoder
//! reads to its last byte; whatever the guard lets pass, the decoder survives.

use bytes::{BufMut, Bytes, BytesMut};

use super::sample::write;
use super::{ELEMENTS_MAX, GuardError, check};
use crate::versions::{APIS, Api};

mod decoders;

use decoders::decode;

fn every(mut test: impl FnMut(&Api, i16)) {
    for api in APIS {
        for version in api.lowest..=api.advertised.1 {
            test(api, version);
        }
    }
}

#[test]
fn every_shape_is_what_the_decoder_reads() {
    every(|api, version| {
        for elements in 0..3 {
            let body = write(api.shape, version, elements);
            assert_eq!(check(api.shape, version, &body), Ok(()), "{:?} {version}", api.key);
            let left = decode(api.key, version, Bytes::from(body.clone()));
            assert_eq!(left, Ok(0), "{:?} {version} with {elements} elements", api.key);
        }
    });
}

#[test]
fn a_request_that_is_cut_anywhere_is_refused() {
    every(|api, version| {
        let body = write(api.shape, version, 2);
        for end in 0..body.len() {
            let outcome = check(api.shape, version, &body[..end]);
            assert!(matches!(outcome, Err(GuardError::Short(_))), "{:?} {version} {end}", api.key);
        }
    });
}

/// What the guard lets pass is decoded here: were it absurd, the process would be gone.
#[test]
fn no_absurd_length_reaches_a_decoder() {
    let absurd: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x03, 0x3c, 0x0c, 0x00],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x80, 0x00, 0x00, 0x00],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    every(|api, version| {
        let body = write(api.shape, version, 2);
        for (at, bytes) in (0..body.len()).flat_map(|at| absurd.map(|bytes| (at, bytes))) {
            for keep in [body.len(), at] {
                let mut changed = body[..at].to_vec();
                changed.extend_from_slice(bytes);
                changed.extend_from_slice(body.get(changed.len()..keep).unwrap_or_default());
                if check(api.shape, version, &changed).is_ok() {
                    let _ = decode(api.key, version, Bytes::from(changed));
                }
            }
        }
    });
}

#[test]
fn a_count_that_its_bytes_could_hold_is_still_bounded() {
    let metadata = crate::versions::find(3).unwrap();
    let body = |count: usize| {
        let mut body = BytesMut::new();
        body.put_i32(i32::try_from(count).unwrap());
        body.put_bytes(0, count * 2 + 3);
        body
    };
    assert_eq!(check(metadata.shape, 8, &body(ELEMENTS_MAX)), Ok(()));
    assert_eq!(check(metadata.shape, 8, &body(ELEMENTS_MAX + 1)), Err(GuardError::Elements));
}

#[test]
fn the_five_bytes_that_abort_the_decoder_are_refused() {
    for body in [&[0x03, 0x3c, 0x0c, 0x00, 0xb6], &[0x7f, 0xff, 0xff, 0xff, 0xb6]] {
        let metadata = crate::versions::find(3).unwrap();
        assert_eq!(check(metadata.shape, 0, body), Err(GuardError::Short("topics")));
    }
}
