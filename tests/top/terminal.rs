//! Runs `blipmq top` on a pseudo-terminal and emulates its screen.

use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::running::Running;
use crate::support::wire::PATIENCE;

/// A program and its pseudo-terminal.
pub struct Session {
    pub running: Running,
    terminal: std::fs::File,
    /// The program's end of the terminal, kept open to inspect the terminal after the program's exit.
    slave: OwnedFd,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// All output of the program.
    pub written: Vec<u8>,
}

impl Session {
    /// Starts a program in a session of its own, by `setsid`, as a login does: so the program does not
    /// see the terminal that the tests run on.
    pub fn start(command: &Command, columns: u16, rows: u16) -> Session {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).expect("a pseudo-terminal of this process");
        unlockpt(&master).expect("a pseudo-terminal of this process");
        let path = ptsname(&master, Vec::new()).expect("a terminal name");
        let path = std::ffi::OsStr::from_bytes(path.to_bytes()).to_owned();
        let slave: OwnedFd =
            std::fs::File::options().read(true).write(true).open(path).expect("a terminal").into();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("a terminal size");

        let mut wrapped = Command::new("setsid");
        wrapped.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        let end = || Stdio::from(slave.try_clone().expect("a file"));
        wrapped.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let running = Running::start(wrapped);

        let terminal = std::fs::File::from(master);
        let mut reading = terminal.try_clone().expect("a file");
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1_024];
            while let Ok(read @ 1..) = reading.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(some(rows), some(columns), 0);
        Session { running, terminal, slave, output, screen, written: Vec::new() }
    }

    pub fn type_keys(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).expect("a reader");
    }

    /// Changes the size, and clears the screen: what it shows next was drawn for the new size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.screen.process(b"\x1b[2J");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        self.screen.screen_mut().set_size(some(rows), some(columns));
        tcsetwinsize(&self.terminal, size).expect("a terminal size");
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub fn wait_for(&mut self, expected: &str) {
        let begun = Instant::now();
        while !self.text().contains(expected) {
            assert!(begun.elapsed() < PATIENCE, "no {expected:?} on\n{}", self.text());
            match self.output.recv_timeout(Duration::from_millis(100)) {
                Ok(bytes) => self.take(&bytes),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(error) => panic!("{error}; no {expected:?} on\n{}", self.text()),
            }
        }
    }

    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Whether keys are read one by one, without echo.
    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.slave).expect("a terminal").local_modes;
        !modes.contains(LocalModes::ICANON) && !modes.contains(LocalModes::ECHO)
    }

    /// Waits for the exit, and asserts that the terminal was restored: main screen, cursor, line mode
    /// and echo.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.running.wait();
        // All output is in the terminal by now.
        let begun = Instant::now();
        while self.screen.screen().alternate_screen() || self.screen.screen().hide_cursor() {
            assert!(begun.elapsed() < PATIENCE, "the screen was not restored:\n{}", self.text());
            if let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(100)) {
                self.take(&bytes);
            }
        }
        assert!(!self.is_raw(), "raw mode was not reset");
        status
    }

    pub fn is_on_alternate_screen(&self) -> bool {
        self.screen.screen().alternate_screen()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
        self.screen.process(bytes);
    }
}

fn some(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a screen has rows and columns")
}
