// What calls bring, for the one thread that waits for it.
//
//   const auto mailbox = std::make_shared<Mailbox>(/*calls=*/1);
//   transport.call(settings, payload, Mailbox::events(mailbox, 0));
//   std::deque<Payload> parts;
//   while (mailbox->wait(now_ns + kLookNs, &parts)) ...         // all parts, and then the replies
//   Reply reply = mailbox->take()[0];
//
// A call may outlive our interest in it, so it holds the mailbox too. The transport's threads put in, one
// thread takes out.
#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

// Of parts that wait. The transport limits a message, not how many of them nobody takes out: somebody who
// reads an answer slowly may be sent them without end.
constexpr size_t kMailboxBytesMax = size_t{64} << 20;

class Mailbox {
 public:
  explicit Mailbox(size_t calls) : replies_(calls), open_(calls) {}

  // Of the call with this number, from 0.
  static CallEvents events(const std::shared_ptr<Mailbox>& mailbox, size_t call) {
    return {[mailbox, call](Reply reply) { mailbox->end(call, std::move(reply)); },
            [mailbox](Payload part) { mailbox->add(std::move(part)); }};
  }

  // Waits for something new, at most until_ns of RealClock. False: everything has come and was taken.
  bool wait(int64_t until_ns, std::deque<Payload>* parts) {
    const base::MutexLock lock(mutex_);
    if (parts_.empty() && open_ > 0) changed_.wait_until(mutex_, until_ns);
    *parts = std::exchange(parts_, {});
    bytes_ = 0;
    return open_ > 0 || !parts->empty();
  }

  // The replies, by the calls' numbers; after wait() was false. ResourceExhausted: parts were lost, because
  // more than kMailboxBytesMax waited.
  std::vector<Reply> take() {
    const base::MutexLock lock(mutex_);
    return std::move(replies_);
  }

 private:
  void add(Payload part) {
    const base::MutexLock lock(mutex_);
    lost_ = lost_ || part.size() > kMailboxBytesMax - bytes_;
    if (lost_) return;
    bytes_ += part.size();
    parts_.push_back(std::move(part));
    changed_.wake_all();
  }
  void end(size_t call, Reply reply) {
    const base::MutexLock lock(mutex_);
    replies_[call] = std::move(reply);
    if (lost_) {
      replies_[call].status = absl::ResourceExhaustedError("the answer came faster than it was taken");
      replies_[call].payload = {};
    }
    --open_;
    changed_.wake_all();
  }

  base::Mutex mutex_;
  base::Condition changed_;
  std::deque<Payload> parts_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of these
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Reply> replies_ ABSL_GUARDED_BY(mutex_);
  size_t open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace agora::peers
