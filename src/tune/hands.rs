//! The tuner's hands: the process that measures, watched from outside. One that does not answer in time is killed, one that ends is noticed; either
//! way the next question goes to a new one.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::wire::{About, Ask, Tell};
use crate::tuned::Made;

/// How long is waited for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a process that makes its problem and the right answer.
    pub ready: Duration,
    /// For the next of several candidates that are compiled.
    pub make: Duration,
    /// For a candidate that runs.
    pub run: Duration,
}

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Lost {
    /// The process said nothing.
    #[error("no answer within {seconds} s: killed")]
    Hung {
        /// The limit.
        seconds: u64,
    },
    /// The process ended.
    #[error("the process that measures ended: {0}")]
    Crashed(String),
    /// The candidate fails or is wrong.
    #[error("{0}")]
    Failed(String),
}

/// No process can be had that measures.
#[derive(Debug, Error)]
#[error("nothing can be measured: {0}")]
pub struct NoHands(pub String);

/// Whoever measures candidates, named as `sla bench --set` takes them.
pub trait Measure {
    /// Who it is.
    ///
    /// # Errors
    /// Nobody.
    fn about(&mut self) -> Result<About, NoHands>;

    /// Compiles candidates; `done` hears of each as soon as it is known.
    ///
    /// # Errors
    /// As [`Measure::about`].
    fn make(
        &mut self,
        sets: &[String],
        done: &mut dyn FnMut(&str, Result<Made, Lost>),
    ) -> Result<(), NoHands>;

    /// Runs a candidate once; its largest relative error.
    ///
    /// # Errors
    /// As [`Measure::about`]; a candidate without an answer is the inner error.
    fn check(&mut self, set: &str) -> Result<Result<f64, Lost>, NoHands>;

    /// One turn of a candidate of so many milliseconds: those of each launch, at least one.
    ///
    /// # Errors
    /// As [`Measure::check`].
    fn turn(&mut self, set: &str, ms: u64) -> Result<Result<Vec<f64>, Lost>, NoHands>;
}

/// A process that measures, started when it is needed.
pub struct Hands {
    start: Box<dyn FnMut() -> Command>,
    limits: Limits,
    running: Option<Running>,
    about: About,
}

struct Running {
    child: Child,
    input: ChildStdin,
    answers: Receiver<Tell>,
    said: Arc<Mutex<VecDeque<String>>>,
}

/// Lines of standard error that are kept for the reason of a crash.
const SAID: usize = 5;

/// Letters of a reason.
const REASON: usize = 400;

impl Hands {
    /// Processes that `start` describes: standard input and output are pipes, whatever it says of them.
    pub fn new(start: impl FnMut() -> Command + 'static, limits: Limits) -> Hands {
        Hands { start: Box::new(start), limits, running: None, about: About::default() }
    }

    /// Compiles candidates until all have an answer, or the process is lost; what has none stays.
    fn make_some(
        &mut self,
        left: &mut Vec<String>,
        done: &mut dyn FnMut(&str, Result<Made, Lost>),
    ) -> Result<Option<Lost>, NoHands> {
        if let Err(lost) = self.send(&Ask::Make(left.clone()))? {
            return Ok(Some(lost));
        }
        while !left.is_empty() {
            let (set, outcome) = match self.wait(self.limits.make) {
                Ok(Tell::Made { set, made }) => (set, Ok(made)),
                Ok(Tell::Failed { set, reason, .. }) => (set, Err(Lost::Failed(reason))),
                Ok(other) => return Ok(Some(self.confused(&other))),
                Err(lost) => return Ok(Some(lost)),
            };
            left.retain(|other| *other != set);
            done(&set, outcome);
        }
        Ok(None)
    }

    fn ask(&mut self, ask: &Ask) -> Result<Result<Tell, Lost>, NoHands> {
        if let Err(lost) = self.send(ask)? {
            return Ok(Err(lost));
        }
        Ok(match self.wait(self.limits.run) {
            Ok(Tell::Failed { reason, last, .. }) => {
                if last {
                    self.stop();
                }
                Err(Lost::Failed(reason))
            }
            answer => answer,
        })
    }

    fn send(&mut self, ask: &Ask) -> Result<Result<(), Lost>, NoHands> {
        let running = self.running()?;
        let line = serde_json::to_string(ask).map_err(|e| NoHands(e.to_string()))?;
        // One that just ended cannot be written to; why it ended is asked below.
        let sent = writeln!(running.input, "{line}").and_then(|()| running.input.flush());
        Ok(sent.map_err(|_| self.ended()))
    }

    fn wait(&mut self, limit: Duration) -> Result<Tell, Lost> {
        let Some(running) = &self.running else { return Err(Lost::Crashed("it was stopped".into())) };
        match running.answers.recv_timeout(limit) {
            Ok(tell) => Ok(tell),
            Err(RecvTimeoutError::Timeout) => {
                self.stop();
                Err(Lost::Hung { seconds: limit.as_secs() })
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    /// An answer to another question: nothing that this process says can be trusted.
    fn confused(&mut self, tell: &Tell) -> Lost {
        self.stop();
        Lost::Crashed(format!("it answered something else: {tell:?}"))
    }

    fn running(&mut self) -> Result<&mut Running, NoHands> {
        if self.running.is_none() {
            let started = self.spawn()?;
            self.running = Some(started);
            match self.wait(self.limits.ready) {
                Ok(Tell::Ready(about)) => self.about = about,
                Ok(other) => return Err(NoHands(self.confused(&other).to_string())),
                Err(lost) => return Err(NoHands(lost.to_string())),
            }
        }
        self.running.as_mut().ok_or_else(|| NoHands("it was stopped".to_owned()))
    }

    fn spawn(&mut self) -> Result<Running, NoHands> {
        let mut command = (self.start)();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command.get_program().to_string_lossy().into_owned();
        let refused = |e: std::io::Error| NoHands(format!("{name} cannot be started: {e}"));
        let mut child = command.spawn().map_err(refused)?;
        let missing = || NoHands("a pipe is missing".to_owned());
        let input = child.stdin.take().ok_or_else(missing)?;
        let (output, errors) =
            (child.stdout.take().ok_or_else(missing)?, child.stderr.take().ok_or_else(missing)?);
        let (send, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Libraries may print too; what is no answer is none.
                if let Ok(tell) = serde_json::from_str(&line)
                    && send.send(tell).is_err()
                {
                    break;
                }
            }
        });
        let said = Arc::new(Mutex::new(VecDeque::new()));
        thread::spawn({
            let said = said.clone();
            move || keep_last(errors, &said)
        });
        Ok(Running { child, input, answers, said })
    }

    /// Why the process ended; there is none any more.
    fn ended(&mut self) -> Lost {
        let Some(mut running) = self.running.take() else {
            return Lost::Crashed("it was stopped".to_owned());
        };
        // It may have closed its output and live on.
        let status = reap(&mut running.child, Duration::from_secs(2)).unwrap_or_else(|| {
            let _ = running.child.kill();
            "it closed its output".to_owned()
        });
        // What it said last may still be on its way.
        thread::sleep(Duration::from_millis(20));
        let said = running.said.lock().unwrap_or_else(PoisonError::into_inner);
        let last = said.iter().map(String::as_str).collect::<Vec<_>>().join(" / ");
        let last: String = last.chars().take(REASON).collect();
        Lost::Crashed(if last.is_empty() { status } else { format!("{status}: {last}") })
    }

    /// Kills the process, if one runs. One that the driver does not let go is left to the system.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have ended by itself.
            let _ = running.child.kill();
            thread::spawn(move || running.child.wait());
        }
    }
}

impl Measure for Hands {
    fn about(&mut self) -> Result<About, NoHands> {
        self.running()?;
        Ok(self.about.clone())
    }

    fn make(
        &mut self,
        sets: &[String],
        done: &mut dyn FnMut(&str, Result<Made, Lost>),
    ) -> Result<(), NoHands> {
        let mut left: Vec<String> = sets.to_vec();
        let lost = self.make_some(&mut left, done)?;
        if lost.is_none() {
            return Ok(());
        }
        // The one that takes the process with it is found by compiling the rest one by one.
        for set in left {
            let mut one = vec![set.clone()];
            if let Some(lost) = self.make_some(&mut one, done)? {
                done(&set, Err(lost));
            }
        }
        Ok(())
    }

    fn check(&mut self, set: &str) -> Result<Result<f64, Lost>, NoHands> {
        let answer = self.ask(&Ask::Check(set.to_owned()))?;
        Ok(answer.and_then(|tell| match tell {
            Tell::Right { error } => Ok(error),
            other => Err(self.confused(&other)),
        }))
    }

    fn turn(&mut self, set: &str, ms: u64) -> Result<Result<Vec<f64>, Lost>, NoHands> {
        let answer = self.ask(&Ask::Turn { set: set.to_owned(), ms })?;
        Ok(answer.and_then(|tell| match tell {
            Tell::Timed { samples } if !samples.is_empty() => Ok(samples),
            other => Err(self.confused(&other)),
        }))
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.stop();
    }
}

fn keep_last(errors: impl Read, said: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_back(line);
        if said.len() > SAID {
            said.pop_front();
        }
    }
}

/// How a process ended, if it does within a time.
fn reap(child: &mut Child, limit: Duration) -> Option<String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.to_string()),
            Err(e) => return Some(e.to_string()),
            Ok(None) if start.elapsed() > limit => return None,
            Ok(None) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const READY: &str = r#"echo '{"ready":{"device":"d","driver":"1"}}'"#;

    /// Processes that run a script of the shell; how many were started is counted in a file.
    fn hands(folder: &Path, script: &str, run: Duration) -> Hands {
        let script = format!("echo x >>{}/started\n{READY}\n{script}", folder.display());
        let start = move || {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        };
        let long = Duration::from_secs(20);
        Hands::new(start, Limits { ready: long, make: long, run })
    }

    fn started(folder: &Path) -> usize {
        std::fs::read_to_string(folder.join("started")).unwrap().lines().count()
    }

    #[test]
    fn a_candidate_that_hangs_is_killed_and_the_next_is_answered_by_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"while read line; do case $line in
            *hangs*) echo $$ >FOLDER/pid; exec sleep 1000;;
            *) echo '{"right":{"error":0.25}}';; esac; done"#;
        let script = script.replace("FOLDER", &folder.path().display().to_string());
        let mut hands = hands(folder.path(), &script, Duration::from_millis(300));
        let start = Instant::now();
        assert_eq!(hands.check("hangs=1").unwrap(), Err(Lost::Hung { seconds: 0 }));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(hands.check("works=1").unwrap(), Ok(0.25));
        assert_eq!(hands.check("works=2").unwrap(), Ok(0.25));
        assert_eq!(started(folder.path()), 2, "one process hung, one goes on");
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let alive = || {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            status.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let gone = (0..200).any(|_| {
            thread::sleep(Duration::from_millis(10));
            !alive()
        });
        assert!(gone, "the process that hung is dead");
    }

    #[test]
    fn a_process_that_dies_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"read line; echo 'illegal address' >&2; kill -SEGV $$"#;
        let mut hands = hands(folder.path(), script, Duration::from_secs(20));
        let Err(Lost::Crashed(why)) = hands.check("a=1").unwrap() else { panic!("it crashed") };
        assert!(why.contains("signal: 11") && why.contains("illegal address"), "{why}");
        let Err(Lost::Crashed(_)) = hands.turn("a=1", 5).unwrap() else { panic!("it crashed again") };
        assert_eq!(started(folder.path()), 2);
    }

    #[test]
    fn the_candidate_that_the_compiler_dies_of_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"while read line; do
            case $line in *bad*) exit 7;; esac
            for set in a=1 a=2 a=3; do case $line in
                *$set*) echo "{\"made\":{\"set\":\"$set\",\"made\":{\"registers\":9,\"shared\":0,\"local\":0,\"notes\":[],\"code\":\"\",\"ptxas\":null}}}";;
            esac; done; done"#;
        let mut hands = hands(folder.path(), script, Duration::from_secs(20));
        let sets = ["a=1", "a=2", "bad=1", "a=3"].map(str::to_owned);
        let mut answers = Vec::new();
        hands.make(&sets, &mut |set, made| answers.push((set.to_owned(), made))).unwrap();
        let made = |set: &str| answers.iter().find(|(s, _)| s == set).unwrap().1.clone();
        for set in ["a=1", "a=2", "a=3"] {
            assert_eq!(made(set).unwrap().registers, 9, "{set}");
        }
        let Err(Lost::Crashed(why)) = made("bad=1") else { panic!("{answers:?}") };
        assert!(why.contains("exit status: 7"), "{why}");
    }

    #[test]
    fn a_device_that_failed_is_left_and_wrong_answers_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"while read line; do case $line in
            *dead*) echo '{"failed":{"set":"dead=1","reason":"an earlier kernel failed","last":true}}'; sleep 1000;;
            *wrong*) echo '{"failed":{"set":"wrong=1","reason":"out is off","last":false}}';;
            *) echo 'a library says hello'; echo '{"timed":{"samples":[0.5,0.25]}}';; esac; done"#;
        let mut hands = hands(folder.path(), script, Duration::from_secs(20));
        assert_eq!(hands.check("wrong=1").unwrap(), Err(Lost::Failed("out is off".into())));
        assert_eq!(hands.turn("a=1", 5).unwrap(), Ok(vec![0.5, 0.25]));
        assert_eq!(started(folder.path()), 1);
        assert_eq!(hands.check("dead=1").unwrap(), Err(Lost::Failed("an earlier kernel failed".into())));
        assert_eq!(hands.turn("a=1", 5).unwrap(), Ok(vec![0.5, 0.25]));
        assert_eq!(started(folder.path()), 2);
    }

    #[test]
    fn a_program_that_never_gets_ready_is_an_error() {
        let limits = |ready| Limits { ready, make: ready, run: ready };
        let mut none = Hands::new(|| Command::new("/nowhere/sla"), limits(Duration::from_secs(9)));
        assert!(none.about().unwrap_err().to_string().contains("/nowhere/sla cannot be started"));
        let silent = || {
            let mut command = Command::new("sleep");
            command.arg("1000");
            command
        };
        let mut silent = Hands::new(silent, limits(Duration::from_millis(100)));
        assert!(silent.about().unwrap_err().to_string().contains("no answer within 0 s"));
        let mut broken = Hands::new(|| Command::new("false"), limits(Duration::from_secs(9)));
        assert!(broken.about().unwrap_err().to_string().contains("exit status: 1"));
    }
}
