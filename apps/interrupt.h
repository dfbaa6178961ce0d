#pragma once
// Ctrl-C as a question that a command asks, instead of the program's end.

namespace rill::apps {

/// Makes Ctrl-C set a flag, from now on.
void catch_interrupts();
/// True if Ctrl-C was pressed since the flag was last taken.
bool interrupt_pending();
/// The same, and takes the flag down.
bool take_interrupt();

}  // namespace rill::apps
