//! What a section asks, and how it was measured.

/// A heading and the paragraph below it, both markup.
pub(super) struct Method {
    pub(super) title: &'static str,
    pub(super) how: &'static str,
}

/// How CPU time is taken wherever it is.
const LOCKSTEP: &str = "Every server runs as a process of its own on the same core, and the \
    clients on another one; they take turns, in each round ten times and in changing order, and \
    nothing is sent before everything sent earlier has reached everyone. What counts is the CPU \
    time of the server’s process, with what the kernel put off meanwhile and did in \
    <code>ksoftirqd</code> on that core. Ratios (×) are taken to the floor in the same round; \
    bars and numbers are medians over the rounds, whiskers go from the least to the most, and \
    the dashed line is the floor’s median. Every client checks every byte, so that whoever \
    loses, doubles, changes or reorders a message falls out, or ends the row if it is Weir.";

const MACRO: Method = Method { title: "Every row of the goals", how: LOCKSTEP };

const OPEN_LOOP: &str = "Messages are sent when they are due, whether or not earlier ones have \
    arrived, and latency counts from when a message was due to when a client has read all of it: \
    who stops for a moment pays for everyone who waited meanwhile. Each server is asked for so \
    many percent of what it could do by its own clock if its core did nothing else, so that a \
    cheaper server is sent more messages in a second. All servers run on the same core and take \
    turns, in changing order. Points are medians over the rounds.";

const GROWTH: &str = "A room of so many clients hears what one of them says, and so many clients \
    are connected and say nothing. Servers run on the same core and take turns, in each round and \
    in changing order. CPU is the server’s process’s and what the kernel put off to \
    <code>ksoftirqd</code> on that core; memory is what the server’s processes have of their own \
    and resident, less what they had with the first hundred connections. Points are medians over \
    the rounds.";

/// By a section's name.
pub(super) fn of(name: &'static str) -> Method {
    match name {
        "macro" => MACRO,
        "latency" => Method {
            title: "How long a message takes when messages come at their own pace",
            how: OPEN_LOOP,
        },
        "growth" => Method {
            title: "What a delivery and a connection cost when there are more of them",
            how: GROWTH,
        },
        other => Method { title: other, how: LOCKSTEP },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_a_heading_that_a_stranger_understands() {
        for name in ["macro", "latency", "growth"] {
            assert_ne!(of(name).title, name);
        }
    }
}
