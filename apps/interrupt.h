#pragma once
// Ctrl-C and a polite end (SIGTERM) as questions that a command asks, instead of the program's end.

#include <cstdio>

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
/// Either of the two.
bool stop_pending();
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
/// Writes what a file has gathered, which must be a page at most: a pipe takes that whole or not at all, so that no
/// write blocks. Waits for a reader that is slow; after a signal that is caught, when nobody may be left to read, for
/// half a second, and what is gathered is dropped then.
/// @param is_read  false from when nobody read: nothing is waited for any more
void write_for_reader(std::FILE* file, bool& is_read);

}  // namespace rill::apps
