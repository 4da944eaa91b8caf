#include "agora/peers/transport/grpc/stream.h"

#include <chrono>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/peers/transport/foreign_text.h"
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

namespace agora::peers {
namespace {

using base::MutexLock;

// A payload up to this is copied beside its header: cheaper than a reference of its own.
constexpr size_t kCopiedBytesMax = 1024;

// Payloads travel by reference: gRPC lets go of it when the bytes have been encrypted.
grpc::ByteBuffer buffer_of(Frame frame) {
  const bool copied = frame.payload.size() <= kCopiedBytesMax;
  std::vector<std::byte> head(frame.header.begin(), frame.header.end());
  head.reserve(frame.size());
  const base::Bytes text = base::as_bytes(frame.text), payload = frame.payload.bytes();
  head.insert(head.end(), text.begin(), text.end());
  if (copied) head.insert(head.end(), payload.begin(), payload.end());
  std::array<grpc::Slice, 2> slices = {grpc::Slice(head.data(), head.size()), grpc::Slice()};
  if (!copied) {
    auto* owner = new Payload(std::move(frame.payload));
    slices[1] = grpc::Slice(
        const_cast<std::byte*>(owner->bytes().data()), owner->size(),
        [](void* kept) { delete static_cast<Payload*>(kept); }, owner);
  }
  return {slices.data(), copied ? size_t{1} : size_t{2}};
}

Status status_of(const grpc::Status& status) {
  const std::string text = printable(status.error_message());  // the other side may have written it
  switch (status.error_code()) {
    case grpc::StatusCode::PERMISSION_DENIED:
      return absl::PermissionDeniedError(text);
    case grpc::StatusCode::FAILED_PRECONDITION:
      return absl::FailedPreconditionError(text);
    case grpc::StatusCode::OK:
      return absl::UnavailableError("the peer closed the connection");
    default:
      return absl::UnavailableError("the connection broke: " + text);
  }
}

bool holds_request(const Pieces& frame) {
  std::byte kind{};
  if (frame.size() > 0) frame.copy_to(0, {&kind, 1});
  return kind == static_cast<std::byte>(FrameKind::request);
}

}  // namespace

void StreamCount::add(int n) {
  MutexLock lock(mutex_);
  count_ += n;
  if (count_ == 0) changed_.wake_all();
}

void StreamCount::wait_for_none() {
  MutexLock lock(mutex_);
  while (count_ > 0) changed_.wait(mutex_);
}

void GrpcStream::start(const std::shared_ptr<GrpcStream>& stream) {
  stream->count_.add(1);
  MutexLock lock(stream->mutex_);
  stream->self_ = stream;
  stream->start_now(stream->begin(What::start));
}

void* GrpcStream::begin(What what) {
  ++under_way_;
  Operation& operation = operations_[static_cast<size_t>(what)];
  operation = {.stream = this, .what = what};
  return &operation;
}

void GrpcStream::complete(void* tag, bool ok) {
  const Operation operation = *static_cast<Operation*>(tag);
  GrpcStream& stream = *operation.stream;
  switch (operation.what) {
    case What::start:
      stream.on_start(ok);
      break;
    case What::read:
      stream.on_read(ok);
      break;
    case What::write:
      stream.on_written(ok);
      break;
    case What::finish:
      stream.on_finished();
      break;
    case What::limit:
      stream.on_limit(ok);
      break;
  }
  stream.end();
}

// The stream may be gone when this returns, so its transport must know before.
void GrpcStream::end() {
  std::shared_ptr<GrpcStream> self;
  {
    MutexLock lock(mutex_);
    if (--under_way_ > 0) return;
    self = std::move(self_);
  }
  StreamCount& count = count_;
  self.reset();
  count.add(-1);
}

void GrpcStream::on_start(bool ok) {
  const bool alive = started(ok);
  {
    MutexLock lock(mutex_);
    running_ = alive;
    if (alive && !ok) broken_ = true;
    if (!ok || session_ == nullptr) {
      if (alive) finish();
      return;
    }
  }
  session_->attach(shared_from_this());
  session_->greet();
  MutexLock lock(mutex_);
  if (running_) read();
}

void GrpcStream::read() { read_now(&incoming_, begin(What::read)); }

// A request is handled before the next read begins: an answer that it gets at once takes the update of the
// stream's window along, which is a message of its own otherwise. After any other frame the read comes first:
// the caller whom the frame wakes does not meet us inside gRPC, where one of us would be sent to another
// thread.
void GrpcStream::on_read(bool ok) {
  Pieces frame;
  if (ok) frame = take_incoming();
  const bool request = ok && holds_request(frame);
  if (request) session_->on_frame(frame);
  {
    MutexLock lock(mutex_);
    if (ok) {
      if (running_) read();
    } else {
      broken_ = true;
      if (running_ && writing_) cancel_now();  // the write ends, and then the stream
      if (running_ && !writing_) finish();
    }
  }
  if (ok && !request) session_->on_frame(frame);
}

Pieces GrpcStream::take_incoming() {
  auto slices = std::make_shared<std::vector<grpc::Slice>>();
  const bool dumped = incoming_.Dump(slices.get()).ok();
  AGORA_CHECK(dumped);
  incoming_.Clear();
  Pieces frame;
  frame.pieces.reserve(slices->size());
  for (const grpc::Slice& slice : *slices) {
    frame.pieces.emplace_back(reinterpret_cast<const std::byte*>(slice.begin()), slice.size());
  }
  frame.owner = std::move(slices);
  return frame;
}

void GrpcStream::write(Frame frame) {
  void* tag = nullptr;
  {
    MutexLock lock(mutex_);
    if (!running_ || broken_) return;  // the session is about to be told that it is closed
    writing_ = true;
    tag = begin(What::write);
  }
  // Encrypts and sends: without the lock, which the queue's thread takes when it hears of it. Nothing but a
  // cancel or a read begins meanwhile.
  write_now(buffer_of(std::move(frame)), tag);
}

void GrpcStream::on_written(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (running_ && (broken_ || (!told_.ok() && may_finish_early()))) finish();
    if (!running_) return;
  }
  session_->on_written(ok);
}

void GrpcStream::on_finished() {
  {
    MutexLock lock(mutex_);
    if (limited_) end_in_time();
  }
  if (session_ != nullptr) session_->on_closed(result());
}

void GrpcStream::on_limit(bool ok) {
  MutexLock lock(mutex_);
  if (ok) cancel_now();
}

// Nothing is being written.
void GrpcStream::finish() {
  running_ = false;
  finish_now(told_, begin(What::finish));
}

void GrpcStream::abort(const Status& status) {
  MutexLock lock(mutex_);
  if (told_.ok()) told_ = status;
  if (running_ && may_finish_early()) {
    if (!writing_) finish();  // otherwise when the write ends: a cancel would not say why
    if (!limited_) limit_end(begin(What::limit));
    limited_ = true;
  } else if (under_way_ > 0) {
    cancel_now();
  }
}

DialedStream::DialedStream(StreamCount& count, grpc::CompletionQueue& queue, std::shared_ptr<Session> session,
                           std::shared_ptr<grpc::Channel> channel, std::shared_ptr<Pin> pin)
    : GrpcStream(count), channel_(std::move(channel)), pin_(std::move(pin)) {
  session_ = std::move(session);
  stream_ = grpc::GenericStub(channel_).PrepareCall(&context_, kStreamMethod, &queue);
}

bool DialedStream::started(bool) { return true; }

Status DialedStream::result() const {
  const Status mismatch = pin_->mismatch();
  return mismatch.ok() ? status_of(status_) : mismatch;
}

AcceptedStream::AcceptedStream(StreamCount& count, grpc::ServerCompletionQueue& queue,
                               grpc::AsyncGenericService& service, int64_t end_ns_max, Accepted accepted)
    : GrpcStream(count),
      queue_(queue),
      service_(service),
      end_ns_max_(end_ns_max),
      accepted_(std::move(accepted)),
      stream_(&context_) {}

void AcceptedStream::start_now(void* tag) {
  service_.RequestCall(&context_, &stream_, &queue_, &queue_, tag);
}

bool AcceptedStream::started(bool ok) {
  if (!ok) return false;  // the server stops
  std::shared_ptr<Session> session = accepted_(context_.peer(), peer());
  if (context_.method() == kStreamMethod) session_ = std::move(session);
  return true;
}

void AcceptedStream::finish_now(const Status& told, void* tag) {
  if (session_ == nullptr) {
    return stream_.Finish({grpc::StatusCode::UNIMPLEMENTED, "there is one method here, for agora peers"},
                          tag);
  }
  if (told.ok()) return stream_.Finish(grpc::Status::OK, tag);
  stream_.Finish({static_cast<grpc::StatusCode>(told.code()), std::string(told.message())}, tag);
}

void AcceptedStream::limit_end(void* tag) {
  end_limit_.Set(&queue_, std::chrono::system_clock::now() + std::chrono::nanoseconds(end_ns_max_), tag);
}

PeerId AcceptedStream::peer() const {
  const std::shared_ptr<const grpc::AuthContext> auth = context_.auth_context();
  return auth == nullptr ? PeerId{} : peer_of_context(*auth);
}

}  // namespace agora::peers
