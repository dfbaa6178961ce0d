#pragma once
// What a session is, as bytes of constant size:
//
//   | counts | sampler state | tokens to recompute | sinks: K, V, scales of K, of V | ring: likewise | local ring |
//
// Integers and floats are little-endian as they lie in memory. core/session_keeper.h puts them into a file.

#include "core/engine.h"
#include "platform/size.h"

namespace rill {

/// Bytes of one session of such an engine.
Size session_state_bytes(const EnginePlan& plan);

}  // namespace rill
