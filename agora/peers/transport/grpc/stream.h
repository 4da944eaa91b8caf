// One bidirectional stream of gRPC as a Wire: frames are its byte buffers.
//
//   GrpcStream::start(std::make_shared<DialedStream>(count, queue, session, channel, pin));
//   GrpcStream::start(std::make_shared<AcceptedStream>(count, queue, service, end_ns_max, accepted));
//
// Operations complete on the one thread that runs the queue and calls complete(). A stream keeps itself alive
// while one is under way. Any thread.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "agora/base/mutex.h"
#include "agora/peers/transport/grpc/tls.h"
#include "agora/peers/transport/session.h"
#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>

namespace agora::peers {

constexpr const char* kStreamMethod = "/agora.Peers/Stream";

// The streams that have operations under way; their transport waits for the last one.
class StreamCount {
 public:
  void add(int n);
  void wait_for_none();

 private:
  base::Mutex mutex_;
  base::Condition changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

class GrpcStream : public Wire, public std::enable_shared_from_this<GrpcStream> {
 public:
  static void start(const std::shared_ptr<GrpcStream>& stream);
  // What the queue's thread does with an event.
  static void complete(void* tag, bool ok);

  void write(Frame frame) final;
  void abort(const Status& status) final;

 protected:
  explicit GrpcStream(StreamCount& count) : count_(count) {}

  virtual void start_now(void* tag) = 0;
  virtual bool started(bool ok) = 0;  // false: the stream never was
  virtual void read_now(grpc::ByteBuffer* to, void* tag) = 0;
  virtual void write_now(const grpc::ByteBuffer& bytes, void* tag) = 0;
  virtual void finish_now(const Status& told, void* tag) = 0;  // at once; a read may be under way
  virtual bool may_finish_early() const = 0;                   // while a read is
  virtual void limit_end(void* tag) = 0;  // what is under way may take so long, then tag comes
  virtual void end_in_time() = 0;         // tag comes now
  virtual void cancel_now() = 0;
  virtual Status result() const = 0;  // after finish

  std::shared_ptr<Session> session_;  // set by started() at the latest

 private:
  enum class What : uint8_t { start, read, write, finish, limit };
  struct Operation {
    GrpcStream* stream = nullptr;
    What what = What::start;
  };

  void on_start(bool ok);
  void on_read(bool ok);
  void on_written(bool ok);
  void on_finished();
  void on_limit(bool ok);
  Pieces take_incoming();
  void read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void finish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void* begin(What what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void end();

  StreamCount& count_;
  std::array<Operation, 5> operations_;  // one of a kind is under way at a time
  grpc::ByteBuffer incoming_;            // of the read under way

  base::Mutex
      mutex_;  // orders the operations; held while one but a write begins, never while a session is told
  std::shared_ptr<GrpcStream> self_ ABSL_GUARDED_BY(mutex_);  // while under_way_ > 0
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;  // started, and no finish yet
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;   // reads have ended
  bool limited_ ABSL_GUARDED_BY(mutex_) = false;  // its end
  Status told_ ABSL_GUARDED_BY(mutex_);           // what the other side may be told
};

class DialedStream final : public GrpcStream {
 public:
  DialedStream(StreamCount& count, grpc::CompletionQueue& queue, std::shared_ptr<Session> session,
               std::shared_ptr<grpc::Channel> channel, std::shared_ptr<Pin> pin);
  PeerId peer() const override { return pin_->seen(); }

 private:
  void start_now(void* tag) override { stream_->StartCall(tag); }
  bool started(bool ok) override;
  void read_now(grpc::ByteBuffer* to, void* tag) override { stream_->Read(to, tag); }
  void write_now(const grpc::ByteBuffer& bytes, void* tag) override { stream_->Write(bytes, tag); }
  void finish_now(const Status&, void* tag) override { stream_->Finish(&status_, tag); }
  bool may_finish_early() const override { return false; }
  void limit_end(void*) override {}
  void end_in_time() override {}
  void cancel_now() override { context_.TryCancel(); }
  Status result() const override;

  const std::shared_ptr<grpc::Channel> channel_;
  const std::shared_ptr<Pin> pin_;
  grpc::ClientContext context_;
  grpc::Status status_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

class AcceptedStream final : public GrpcStream {
 public:
  // accepted: a peer has opened this stream; gives it a session. Called once at most. from: gRPC's name for
  // where it comes from.
  using Accepted = std::function<std::shared_ptr<Session>(const std::string& from, const PeerId& peer)>;
  // A peer that takes nothing of what is written to it is cut off end_ns_max after abort().
  AcceptedStream(StreamCount& count, grpc::ServerCompletionQueue& queue, grpc::AsyncGenericService& service,
                 int64_t end_ns_max, Accepted accepted);
  PeerId peer() const override;

 private:
  void start_now(void* tag) override;
  bool started(bool ok) override;
  void read_now(grpc::ByteBuffer* to, void* tag) override { stream_.Read(to, tag); }
  void write_now(const grpc::ByteBuffer& bytes, void* tag) override { stream_.Write(bytes, tag); }
  void finish_now(const Status& told, void* tag) override;
  bool may_finish_early() const override { return true; }
  void limit_end(void* tag) override;
  void end_in_time() override { end_limit_.Cancel(); }
  void cancel_now() override { context_.TryCancel(); }
  Status result() const override { return absl::UnavailableError("the peer closed the connection"); }

  grpc::ServerCompletionQueue& queue_;
  grpc::AsyncGenericService& service_;
  const int64_t end_ns_max_;
  const Accepted accepted_;
  grpc::Alarm end_limit_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
};

}  // namespace agora::peers
