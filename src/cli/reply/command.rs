//! A shell command that gets a request on stdin and whose stdout is the reply.
//!
//! Called by `reply`.
//!
//! # Always true
//! - The reply is what was written until the shell ended: what the command leaves running in the
//!   background, and keeps the pipes open, holds nothing up.
//! - At most a message of output is kept.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Runs a shell command for a request on a topic. The error is for the requester.
pub fn execute(
    command: &str,
    topic: &str,
    request: &[u8],
    reply_len_max: usize,
) -> Result<Vec<u8>, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("BLIPMQ_TOPIC", topic);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().map_err(|error| format!("cannot start `sh`: {error}"))?;
    let talked = Talk::new(&mut child, request, reply_len_max).and_then(Talk::until_the_end);
    if !matches!(talked, Ok(Some(_))) {
        // An error is fine: the shell may have ended meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| format!("cannot run `{command}`: {error}"))?;
    match talked {
        Ok(Some(reply)) if status.success() => Ok(reply),
        Ok(Some(_)) => Err(format!("`{command}` ended with {status}")),
        Ok(None) => Err(format!(
            "`{command}` wrote more than the {reply_len_max} bytes that a message may have: write less, \
             or raise `server.max_message_size_bytes`"
        )),
        Err(error) => Err(format!("cannot run `{command}`: {error}")),
    }
}

/// The pipes of a running shell.
struct Talk<'r> {
    /// Readable once the shell has ended.
    end: OwnedFd,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    /// What of the request is not written yet.
    request: &'r [u8],
    reply: Vec<u8>,
    reply_len_max: usize,
}

impl<'r> Talk<'r> {
    fn new(child: &mut Child, request: &'r [u8], reply_len_max: usize) -> io::Result<Talk<'r>> {
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        ioctl_fionbio(&stdin, true)?;
        ioctl_fionbio(&stdout, true)?;
        let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        let (stdin, stdout) = (Some(stdin), Some(stdout));
        Ok(Talk { end, stdin, stdout, request, reply: Vec::new(), reply_len_max })
    }

    /// Writes the request and reads the reply until the shell ends; `None` if the reply is too long.
    fn until_the_end(mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // A command may write output before it has read all its input, so both go on at once.
            self.write_request();
            let has_ended = self.wait()?;
            self.read_reply()?;
            if self.reply.len() > self.reply_len_max {
                return Ok(None);
            }
            if has_ended {
                return Ok(Some(self.reply));
            }
        }
    }

    /// Waits until there is something to do. Returns whether the shell has ended: then its output is
    /// complete.
    fn wait(&self) -> io::Result<bool> {
        let mut waited = vec![PollFd::new(&self.end, PollFlags::IN)];
        if let Some(stdout) = &self.stdout {
            waited.push(PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::IN));
        }
        if let Some(stdin) = &self.stdin {
            waited.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::OUT));
        }
        loop {
            match poll(&mut waited, None) {
                Ok(_) => return Ok(!waited[0].revents().is_empty()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes what the pipe takes, and closes the pipe behind the request.
    fn write_request(&mut self) {
        while let Some(stdin) = &mut self.stdin {
            match stdin.write(self.request) {
                Ok(written) if written > 0 => self.request = &self.request[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The request is written, or the command has closed its input without reading all.
                _ => self.stdin = None,
            }
        }
    }

    /// Reads what is there, up to one byte more than is allowed.
    fn read_reply(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1_024];
        while let Some(stdout) = &mut self.stdout {
            if self.reply.len() > self.reply_len_max {
                return Ok(());
            }
            match stdout.read(&mut bytes) {
                Ok(0) => self.stdout = None,
                Ok(read) => self.reply.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(command: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        execute(command, "jobs.a", request, 300_000)
    }

    #[test]
    fn requests_and_replies_longer_than_a_pipe_pass_through() {
        let request: Vec<u8> = (0..250_000_u32).map(|number| (number % 251) as u8).collect();
        assert_eq!(reply("cat", &request), Ok(request.clone()));
        assert_eq!(reply("cat; printf x", &request).map(|reply| reply.len()), Ok(250_001));
        assert_eq!(reply("printf unread", &request), Ok(b"unread".to_vec()));
        assert_eq!(reply("printf $BLIPMQ_TOPIC", b""), Ok(b"jobs.a".to_vec()));
    }

    #[test]
    fn what_is_left_in_the_background_holds_nothing_up() {
        assert_eq!(reply("sleep 3600 & echo $!; printf x", b"y").map(end), Ok("x".to_owned()));
    }

    /// Ends the process whose id is the first line of a reply, and returns the rest.
    fn end(reply: Vec<u8>) -> String {
        let text = String::from_utf8(reply).expect("UTF-8 output");
        let (pid, rest) = text.split_once('\n').expect("the id of a process");
        let pid = pid.parse().ok().and_then(Pid::from_raw).expect("the id of a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it still runs");
        rest.to_owned()
    }

    #[test]
    fn a_reply_that_is_too_long_or_endless_is_a_failure() {
        let error = reply("yes", b"").expect_err("there is no end");
        assert!(error.starts_with("`yes` wrote more than the 300000 bytes"), "{error}");
        let error = reply("head -c 300001 /dev/zero", b"").expect_err("one byte too many");
        assert!(error.contains("300000 bytes"), "{error}");
        assert_eq!(reply("head -c 300000 /dev/zero", b""), Ok(vec![0; 300_000]));
        let error = reply("exit 3", b"").expect_err("it failed");
        assert_eq!(error, "`exit 3` ended with exit status: 3");
    }
}
