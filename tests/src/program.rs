//! A running program whose output is heard line by line. Never outlives the test that
//! started it. All waiting is for a line or the end, with a deadline.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take on a slow, busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A child with its output captured; killed on drop. When the test fails, the output is shown.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    heard: Arc<Heard>,
}

/// All that was said, and a call when there is more.
#[derive(Debug, Default)]
struct Heard {
    /// What it was about to say is cut off.
    is_killed: AtomicBool,
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Program {
    /// Starts it. Our own settings stay out of its environment: the broker reads
    /// `TIDEWIRE_…` variables and refuses those that it does not know.
    ///
    /// # Panics
    /// When it cannot start.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEWIRE_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        let (to_us, lines) = channel();
        let heard = Arc::new(Heard::default());
        let errors = child.stderr.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        listen(errors, Arc::clone(&heard), None);
        listen(output, Arc::clone(&heard), Some(to_us));
        Self { name, child, lines, heard }
    }

    /// The next line of its standard output.
    ///
    /// # Panics
    /// When none comes in time or it ended.
    #[must_use]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            panic!("{} says no further line: {error}\n{}", self.name, self.output())
        })
    }

    /// The next line of its standard output, if one comes so soon.
    #[must_use]
    pub fn line_within(&self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// Reads lines until one fits, and returns it.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn line_that(&self, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let line = self.line();
            if fits(&line) {
                return line;
            }
        }
        panic!("{} never said the awaited line\n{}", self.name, self.output());
    }

    /// The first line that fits, or nothing when it ends before.
    ///
    /// # Panics
    /// When neither comes in time.
    pub fn line_before_its_end(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if fits(&line) => return Some(line),
                Ok(_) => (),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} never said the awaited line\n{}", self.name, self.output())
                }
            }
        }
    }

    /// Waits for its end and returns what was left of its standard output.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn rest(&mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} does not end\n{}", self.name, self.output())
                }
            }
        }
        (self.child.wait().expect("our child"), rest)
    }

    /// Waits for its end and insists that it went well.
    ///
    /// # Panics
    /// When it failed, with its output.
    pub fn succeeds(&mut self) -> Vec<String> {
        let (status, lines) = self.rest();
        assert!(status.success(), "{} ended with {status}\n{}", self.name, self.output());
        lines
    }

    /// SIGKILL: no handler of the program runs.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn kill9(&mut self) {
        self.heard.is_killed.store(true, Ordering::Relaxed);
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// From now on no file of its takes a byte more. A program that does not ignore SIGXFSZ dies
    /// of its next write.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn forbid_writing(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        let nothing = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        rustix::process::prlimit(Some(id), rustix::process::Resource::Fsize, nothing)
            .expect("our child");
    }

    /// From now on it may have so many files open more than it has.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn limit_files(&self, more: u64) {
        let folder = format!("/proc/{}/fd", self.child.id());
        let open = std::fs::read_dir(folder).expect("our child").count() as u64;
        self.grant_files(open + more);
    }

    /// From now on it can open nothing, also when it closes something, until `limit_files` grants
    /// it more.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn forbid_files(&self) {
        // The numbers below are those of its input and outputs.
        self.grant_files(3);
    }

    fn grant_files(&self, count: u64) {
        let id = rustix::process::Pid::from_child(&self.child);
        let resource = rustix::process::Resource::Nofile;
        // The hard limit is ours, which it has from us: only the soft one changes.
        let maximum = rustix::process::getrlimit(resource).maximum;
        let most = rustix::process::Rlimit { current: Some(count), maximum };
        rustix::process::prlimit(Some(id), resource, most).expect("our child");
    }

    /// Ctrl-C, again and again until it ends; how it ended. Two that come at once count as one.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn interrupted(&mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.child);
        let (ended, end) = channel::<()>();
        let interrupter = thread::spawn(move || {
            loop {
                // It may be gone.
                let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
                let waited = end.recv_timeout(Duration::from_millis(50));
                if waited != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        let (status, _) = self.rest();
        drop(ended);
        interrupter.join().expect("it only interrupts");
        status
    }

    /// SIGTERM: asks it to end.
    ///
    /// # Panics
    /// When the child cannot be reached or does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.rest().0
    }

    /// SIGTERM, and does not wait.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn ask_to_end(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// SIGINT, as ctrl-C sends it, and does not wait.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    /// Has it not ended yet?
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// SIGSTOP: it does nothing any more, and does not know it.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT: after a pause it goes on where it was.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// By which the kernel knows it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said on either output.
    ///
    /// # Panics
    /// Never in practice: the lock is held by nobody that can panic.
    #[must_use]
    pub fn output(&self) -> String {
        self.heard.lines.lock().expect("a listener only pushes").join("\n")
    }

    /// Waits until it has said this, on either output.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn await_output(&self, text: &str) {
        self.await_times(text, 1);
    }

    /// Waits until it has said this so many times, on either output.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn await_times(&self, text: &str, times: usize) {
        let lines = self.heard.lines.lock().expect("a listener only pushes");
        let said = |lines: &[String]| lines.iter().filter(|line| line.contains(text)).count();
        let is_missing = |lines: &mut Vec<String>| said(lines) < times;
        let waited = self.heard.more.wait_timeout_while(lines, PATIENCE, is_missing);
        // The lock is free again: who fails here shows all that was said.
        let is_late = waited.expect("a listener only pushes").1.timed_out();
        assert!(!is_late, "{} never said {text:?}\n{}", self.name, self.output());
    }

    /// SIGHUP.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// SIGUSR1, which every program understands as it likes.
    ///
    /// # Panics
    /// When the child cannot be reached.
    pub fn poke(&self) {
        self.signal(rustix::process::Signal::USR1);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("our child");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error here means that it is gone already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- what {} said ---\n{}\n---", self.name, self.output());
        }
    }
}

fn listen(source: impl Read + Send + 'static, heard: Arc<Heard>, to: Option<Sender<String>>) {
    thread::spawn(move || {
        let (mut source, mut line) = (BufReader::new(source), Vec::new());
        while source.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let is_whole = line.ends_with(b"\n");
            if !is_whole && heard.is_killed.load(Ordering::Relaxed) {
                return;
            }
            let line = std::mem::take(&mut line);
            let text = String::from_utf8_lossy(&line);
            let line = text.trim_end_matches(['\r', '\n']).to_owned();
            heard.lines.lock().expect("nobody panics with it").push(line.clone());
            heard.more.notify_all();
            if let Some(to) = &to {
                // The test may have let go of the program; its output still counts.
                let _ = to.send(line);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::Program;
    use std::process::Command;

    fn shell(script: &str) -> Program {
        Program::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn lines_and_the_end_are_heard() {
        let mut program = shell("echo one; echo two; echo three; echo bad >&2; exit 4");
        assert_eq!(program.line_that(|line| line.contains('w')), "two");
        let (status, rest) = program.rest();
        assert_eq!((status.code(), rest), (Some(4), vec!["three".to_owned()]));
    }

    #[test]
    #[should_panic(expected = "no further line")]
    fn a_program_that_ends_early_is_not_waited_for() {
        let _ = shell("exit 0").line();
    }

    #[test]
    fn what_a_killed_program_did_not_say_to_the_end_is_not_heard() {
        for (is_killed, expected) in [(true, None), (false, Some("tw"))] {
            let end = if is_killed { "while :; do sleep 1; done" } else { "exit" };
            let mut program = shell(&format!("echo one; printf tw; {end}"));
            assert_eq!(program.line(), "one");
            if is_killed {
                program.kill9();
            }
            assert_eq!(program.rest().1.first().map(String::as_str), expected);
        }
    }

    #[test]
    fn a_program_can_be_asked_to_end() {
        let mut program = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do wait; done");
        assert_eq!(program.line(), "up");
        assert!(program.terminate().success());
        assert!(program.output().contains("bye"));
    }
}
