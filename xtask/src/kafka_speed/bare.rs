//! The bare loop: a file into a socket, and nothing else. What a server could do at best.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::fields::{batches, fetched};
use super::figures::Reading;
use super::reading::Topic;
use super::wire::read_frame;
use crate::processor;

/// Read and written at once: as much as the caches of most processors hold.
const CHUNK_BYTES: usize = 256 << 10;

/// Has the file's frames written to a socket so many times, and reads them as the lean client does.
pub(super) fn read(file: &Path, topic: &Topic, times: u64) -> Result<Reading, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    thread::scope(|scope| {
        let writer = scope.spawn(|| write(&listener, file, times));
        let reader = scope.spawn(move || {
            processor::stay_on(processor::CLIENT)?;
            let since = Instant::now();
            let mut socket = TcpStream::connect(address).map_err(told)?;
            drain(&mut socket, topic.bytes * times)?;
            Ok::<_, String>(since.elapsed())
        });
        let took = reader.join().map_err(|_| "the reader broke off")??;
        let processor_time = writer.join().map_err(|_| "the writer broke off")??;
        let (messages, bytes) = (topic.messages * times, topic.bytes * times);
        Ok(Reading { took, processor_time, messages, bytes })
    })
}

fn write(listener: &TcpListener, file: &Path, times: u64) -> Result<Duration, String> {
    processor::stay_on(processor::SERVER)?;
    let (mut socket, _) = listener.accept().map_err(told)?;
    socket.set_nodelay(true).map_err(told)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let before = processor::of_this_thread()?;
    for _ in 0..times {
        let mut file = File::open(file).map_err(told)?;
        loop {
            let read = file.read(&mut chunk).map_err(told)?;
            if read == 0 {
                break;
            }
            socket.write_all(&chunk[..read]).map_err(told)?;
        }
    }
    Ok(processor::of_this_thread()?.saturating_sub(before))
}

/// Does with an answer what the lean client does.
fn drain(socket: &mut TcpStream, bytes: u64) -> Result<(), String> {
    let (mut frame, mut read) = (Vec::new(), 0);
    while read < bytes {
        let length = read_frame(socket, &mut frame).map_err(told)?;
        read += length as u64 + 4;
        let mut last = 0;
        fetched(&frame[..length], &mut |_, records| {
            last = batches(records).last().map_or(last, |batch| batch.next);
        })?;
    }
    Ok(())
}

fn told(error: std::io::Error) -> String {
    error.to_string()
}
