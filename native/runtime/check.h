// Errors of the native side. Thrown only where a program is built or started, never inside a kernel; the
// binding turns them into typed JavaScript errors.
#pragma once

#include <stdexcept>
#include <string>

namespace heedful {

// What a caller did wrong, in a sentence that names the operation, what was expected and what came.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// `message` is only evaluated when the condition fails.
#define HEEDFUL_CHECK(condition, message)              \
  do {                                                 \
    if (!(condition)) throw ::heedful::Error(message); \
  } while (0)

}  // namespace heedful
