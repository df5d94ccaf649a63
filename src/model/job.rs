/// How far a job is: a sign-in, or whatever else runs for a while and is asked about meanwhile. One set of states for all
/// of them (REN-7); what is shown of a kind of job is a function of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// Asked for; nothing to show yet.
    Pending,
    /// Under way.
    Running,
    /// It ended, and did what it was for.
    Succeeded,
    /// It ended, and changed nothing.
    Failed,
    /// Somebody called it off; it changed nothing.
    Cancelled,
}

impl JobState {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// True once it can change no more.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Cancelled | Self::Failed | Self::Succeeded => true,
            Self::Pending | Self::Running => false,
        }
    }

    /// True while it may still do something.
    pub fn is_active(self) -> bool {
        !self.is_terminal()
    }

    /// What a sign-in is shown as: `idle`, `in-progress`, `success`, `error` (REN-6). One that was called off leaves an
    /// account as if nobody had asked: idle, as is an account without a job.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Pending | Self::Running => "in-progress",
            Self::Succeeded => "success",
            Self::Failed => "error",
            Self::Cancelled => Self::IDLE,
        }
    }

    /// What a refresh of limits is shown as: `idle`, `queued`, `running`, `success`, `error`, `stopped`.
    pub fn shown_refresh(self) -> &'static str {
        match self {
            Self::Pending => "queued",
            Self::Running => "running",
            Self::Succeeded => "success",
            Self::Failed => "error",
            Self::Cancelled => "stopped",
        }
    }

    /// What is shown where there is no job.
    pub const IDLE: &'static str = "idle";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REN-7, REN-6
    #[test]
    fn every_state_has_one_wire_string_one_shown_string_and_is_either_over_or_not() {
        for (state, wire, shown, refresh, terminal) in [
            (JobState::Pending, "pending", "in-progress", "queued", false),
            (JobState::Running, "running", "in-progress", "running", false),
            (JobState::Succeeded, "succeeded", "success", "success", true),
            (JobState::Failed, "failed", "error", "error", true),
            (JobState::Cancelled, "cancelled", "idle", "stopped", true),
        ] {
            let told = (state.as_str(), state.shown(), state.shown_refresh());
            assert_eq!(told, (wire, shown, refresh), "{state:?}");
            assert_eq!((state.is_terminal(), state.is_active()), (terminal, !terminal), "{state:?}");
        }
    }
}
