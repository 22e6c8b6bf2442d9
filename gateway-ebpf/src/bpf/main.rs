//! The programs that the kernel runs; built for it by `cargo xtask ebpf`, and only then.
//!
//! Entry points stay thin: they read maps, call a function of the library, and return what the
//! kernel is to do.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod select;
#[cfg(target_arch = "bpf")]
mod steer;

/// The kernel lets only programs under the GPL use all of its helpers.
#[cfg(target_arch = "bpf")]
// SAFETY: loaders look for a section and a symbol of these names, and nothing else has them.
#[unsafe(link_section = "license")]
// SAFETY: as above.
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never called: nothing here can panic once it is optimised, or the kernel's verifier would refuse
/// the endless loop.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("weir-bpf holds programs for the kernel: build them with `cargo xtask ebpf`");
    std::process::exit(2);
}
