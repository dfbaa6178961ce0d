#pragma once
// Ctrl-C and a polite end (SIGTERM) as questions that a command asks, instead of the program's end.

namespace rill::apps {

/// Makes Ctrl-C set a flag, from now on.
void catch_interrupts();
/// True if Ctrl-C was pressed since the flag was last taken.
bool interrupt_pending();
/// The same, and takes the flag down.
bool take_interrupt();

/// Makes SIGTERM set another flag, from now on and for good.
void catch_termination();
bool termination_pending();
/// Readable from SIGTERM on, for whoever waits for more than one file; -1 before catch_termination().
int termination_descriptor();
/// What happened to the terminal since it was last asked for.
struct TerminalChange {
  bool has_resumed = false;  ///< the program was stopped (Ctrl-Z), and goes on (fg)
  bool has_resized = false;
};
/// Makes SIGCONT and SIGWINCH note it, and end the waiting for input.
void catch_terminal_changes();
TerminalChange take_terminal_change();

/// Waits until a file can be read without waiting, or a signal comes that is caught. @returns false for a signal.
bool wait_for_input(int descriptor);
/// Waits until a file takes PIPE_BUF bytes without waiting; after a signal that is caught, when nobody may be left to
/// read, for half a second at most. @returns false if it still does not
bool wait_for_room(int descriptor);

}  // namespace rill::apps
