//! System calls that no safe wrapper has: a classic BPF program for listeners, and the priority of
//! a thread of the kernel's.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

/// Has the kernel take the listener whose index in its group is that of the CPU's entry; of a CPU
/// without one, the CPU's number modulo the listeners'. Indices are in the order of binding.
///
/// # Errors
/// What the system said.
pub(crate) fn attach_cbpf(among: &TcpListener, cpus: &[u32]) -> io::Result<()> {
    let filter = by_cpu(cpus);
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_ptr().cast_mut(),
    };
    let bytes = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the kernel reads `bytes` from `program` and as many instructions as it says from
    // `filter`, both of which last until it returns, and writes to neither.
    let refused = unsafe {
        libc::setsockopt(
            among.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            bytes,
        )
    };
    if refused == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Classic BPF: the CPU, then a jump and a return for each that has a listener.
fn by_cpu(cpus: &[u32]) -> Vec<libc::sock_filter> {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let (load, modulo) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_ALU | libc::BPF_MOD);
    let mut steps = vec![step(load, 0, 0, THIS_CPU)];
    for (index, &cpu) in (0..).zip(cpus) {
        steps.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, cpu));
        steps.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, index));
    }
    let listeners = u32::try_from(cpus.len()).unwrap_or(u32::MAX).max(1);
    steps.push(step(modulo | libc::BPF_K, 0, 0, listeners));
    steps.push(step(libc::BPF_RET | libc::BPF_A, 0, 0, 0));
    steps
}

/// Where a filter finds the CPU that it runs on (`SKF_AD_OFF + SKF_AD_CPU`).
const THIS_CPU: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_CPU) as u32;

/// Has the kernel choose among the listeners of this one's group by its hash again.
///
/// # Errors
/// What the system said: as when nothing else chooses.
pub(crate) fn detach(among: &TcpListener) -> io::Result<()> {
    aya::programs::SkReuseport::detach(among).map_err(io::Error::other)
}

/// Has a thread run before all that have no such priority, at the lowest of those that do.
///
/// # Errors
/// What the system said: it takes CAP_SYS_NICE.
pub(crate) fn run_first(thread: u32) -> io::Result<()> {
    let thread = libc::pid_t::try_from(thread).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: all zeros is a value of this structure.
    let mut priority: libc::sched_param = unsafe { std::mem::zeroed() };
    priority.sched_priority = 1;
    // SAFETY: the kernel reads the structure, which lasts until it returns.
    let refused =
        unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const priority) };
    if refused == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::net::listen::{Options, bind};

    #[test]
    fn a_filter_takes_the_listener_of_the_cpu_that_the_packet_arrived_on() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind(addr, &Options::default()).unwrap();
        let second = bind(first.local_addr().unwrap(), &Options::default()).unwrap();
        let here = crate::machine::allowed_cpus()[0];
        let here = u32::try_from(here).unwrap();
        // On loopback packets arrive on the CPU of whoever sends them.
        let connect = move |addr| {
            std::thread::spawn(move || {
                crate::machine::pin(here as usize).unwrap();
                TcpStream::connect(addr).unwrap()
            })
        };
        for (cpus, due) in [([here, u32::MAX], &first), ([u32::MAX, here], &second)] {
            attach_cbpf(&first, &cpus).unwrap();
            let addr = first.local_addr().unwrap();
            let clients: Vec<_> = (0..8).map(|_| connect(addr).join().unwrap()).collect();
            due.set_nonblocking(false).unwrap();
            for mut client in clients {
                drop(due.accept().unwrap());
                client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                assert_eq!(client.read(&mut [0]).unwrap(), 0, "it was accepted and closed");
            }
        }
    }
}
