//! [`race`]: TCP to the first of several addresses that answers (RFC 8305, "Happy Eyeballs").
//!
//! 1. The addresses are tried in turns of IPv6 and IPv4, a next one every [`ATTEMPT_DELAY`], or at once where an attempt fails. Earlier attempts go on
//!    meanwhile. So a dead address costs a quarter of a second, not the whole time.
//! 2. The first connection wins; the others are closed.
//! 3. No thread: the sockets do not block, and one poll waits for all of them. At most [`MAX_ADDRESSES`] are tried.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::awake::Deadline;

/// Time between two attempts (RFC 8305, section 5: 250 ms is recommended).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Most addresses that are tried.
pub(super) const MAX_ADDRESSES: usize = 32;

/// Why no address could be connected to: each with its reason.
#[derive(Debug)]
pub struct Unreachable {
    failures: Vec<(SocketAddr, io::Error)>,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return f.write_str("the name has no address");
        }
        for (at, (address, error)) in self.failures.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {error}", address.ip())?;
        }
        Ok(())
    }
}

impl std::error::Error for Unreachable {}

/// An attempt under way.
struct Attempt {
    address: SocketAddr,
    socket: OwnedFd,
}

/// Connects to the first of the addresses that answers. Gives the connection in blocking mode.
///
/// # Errors
/// Where no address answers in time.
pub(super) fn race(addresses: &[SocketAddr], deadline: &mut Deadline) -> Result<(TcpStream, SocketAddr), Unreachable> {
    let mut waiting: VecDeque<SocketAddr> = in_turns(addresses).into();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failures = Vec::new();
    let mut last_start = Instant::now();
    let mut is_due = true;
    loop {
        while (is_due || attempts.is_empty() || last_start.elapsed() >= ATTEMPT_DELAY)
            && let Some(address) = waiting.pop_front()
        {
            last_start = Instant::now();
            is_due = false;
            match begin(address) {
                Ok(socket) => attempts.push(Attempt { address, socket }),
                Err(error) => failures.push((address, error)),
            }
        }
        let step = deadline.step();
        let (Some(step), false) = (step, attempts.is_empty()) else {
            let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
            failures.extend(attempts.iter().map(|attempt| attempt.address).chain(waiting).map(|address| (address, timed_out())));
            return Err(Unreachable { failures });
        };
        let next = if waiting.is_empty() { step } else { ATTEMPT_DELAY.saturating_sub(last_start.elapsed()).min(step) };
        for at in ready(&attempts, next).into_iter().rev() {
            let Attempt { address, socket } = attempts.swap_remove(at);
            match finish(socket) {
                Ok(tcp) => return Ok((tcp, address)),
                Err(error) => {
                    failures.push((address, error));
                    is_due = true;
                }
            }
        }
    }
}

/// Puts addresses in the order in which they are tried: the two families in turns, beginning with the resolver's first one.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first_family = |address: &&SocketAddr| addresses.first().is_some_and(|first| first.is_ipv6() == address.is_ipv6());
    let mut first = addresses.iter().filter(is_first_family);
    let mut second = addresses.iter().filter(|address| !is_first_family(address));
    let mut ordered = Vec::with_capacity(addresses.len().min(MAX_ADDRESSES));
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || ordered.len() >= MAX_ADDRESSES {
            ordered.truncate(MAX_ADDRESSES);
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// Begins to connect.
fn begin(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Waits until one of the attempts has come to its end. Gives the places of those that have, in rising order.
fn ready(attempts: &[Attempt], at_most: Duration) -> Vec<usize> {
    let mut asked: Vec<PollFd<'_>> = attempts.iter().map(|attempt| PollFd::new(&attempt.socket, PollFlags::OUT)).collect();
    let Ok(at_most) = Timespec::try_from(at_most) else { return Vec::new() };
    match poll(&mut asked, Some(&at_most)) {
        Ok(_) => asked.iter().enumerate().filter(|(_, asked)| !asked.revents().is_empty()).map(|(at, _)| at).collect(),
        // A signal: the caller looks at the time and waits again.
        Err(_) => Vec::new(),
    }
}

/// Takes the outcome of an attempt.
fn finish(socket: OwnedFd) -> io::Result<TcpStream> {
    socket_error(&socket)??;
    let tcp = TcpStream::from(socket);
    // A port of this machine where nobody listens may be chosen for the connection's own end, and then connects to itself.
    if tcp.local_addr()? == tcp.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    tcp.set_nonblocking(false)?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(is_six: bool, port: u16) -> SocketAddr {
        let ip = if is_six { "::1" } else { "127.0.0.1" };
        SocketAddr::new(ip.parse().expect("an address"), port)
    }

    proptest! {
        #[test]
        fn families_take_turns_and_keep_the_resolvers_order(kinds in prop::collection::vec(any::<bool>(), 0..=MAX_ADDRESSES)) {
            let given: Vec<SocketAddr> = kinds.iter().zip(1..).map(|(is_six, port)| address(*is_six, port)).collect();
            let ordered = in_turns(&given);
            prop_assert_eq!(ordered.first(), given.first());
            for is_six in [true, false] {
                let of = |list: &[SocketAddr]| list.iter().copied().filter(|a| a.is_ipv6() == is_six).collect::<Vec<_>>();
                prop_assert_eq!(of(&ordered), of(&given));
            }
            let shorter = given.iter().filter(|a| a.is_ipv6()).count().min(given.iter().filter(|a| a.is_ipv4()).count());
            let turns = ordered.windows(2).take(2 * shorter).filter(|pair| matches!(pair, [a, b] if a.is_ipv6() != b.is_ipv6())).count();
            prop_assert!(turns + 1 >= 2 * shorter);
        }
    }

    #[test]
    fn no_more_than_the_most_addresses_are_tried() {
        let many: Vec<SocketAddr> = (1..=100).map(|port| address(port % 3 == 0, port)).collect();
        assert_eq!(in_turns(&many).len(), MAX_ADDRESSES);
        assert!(in_turns(&[]).is_empty());
    }

    #[test]
    fn every_address_that_fails_is_named() {
        let refused = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let error = race(&[refused, refused], &mut Deadline::within(Duration::from_secs(5))).expect_err("nobody listens");
        assert_eq!(error.to_string().matches("127.0.0.1: Connection refused").count(), 2, "{error}");
        assert_eq!(race(&[], &mut Deadline::within(Duration::ZERO)).expect_err("none").to_string(), "the name has no address");
    }
}
