// One client's connection to an HTTP server of ours, for one request: what comes in is counted and clocked.
//
//   HttpConnection connection(socket, limits);
//   ... the library reads the request's head from it ...
//   connection.begin_body(bytes_max);      // and then its body, or refuse_body()
//   connection.end();
//
// The library believes what a request says of its own size, where it says anything: chunks, and a body that
// ends with the connection, it reads whole, and a head without end. Reading beyond a limit fails here,
// whatever the bytes are. One thread.
#pragma once

#include <httplib.h>

#include <array>
#include <string>

#include "agora/base/clock.h"
#include "agora/base/loop.h"

namespace agora::serve {

class HttpConnection final : public httplib::Stream {
 public:
  static constexpr size_t kHeadBytesMax = 32 << 10;            // browsers and proxies send some 2 KiB
  static constexpr size_t kFrameBytesMax = 4 << 10;            // around a body's chunks
  static constexpr int64_t kRequestNs = 60 * base::kSecondNs;  // to read a request, however it drips

  // kept_s: until its first byte. silence_s: of a client that sends or reads.
  HttpConnection(socket_t socket, int kept_s, int silence_s);
  ~HttpConnection() override;  // closes the socket

  bool has_begun() const { return has_begun_; }
  void begin_body(size_t bytes_max) { bytes_left_ = bytes_max + kFrameBytesMax; }
  void refuse_body() { bytes_left_ = 0; }  // nothing more is read
  // Whether the client has not hung up.
  bool is_there() const;
  // Says goodbye. A client that still sends what was refused is listened to for a moment: what is closed
  // while bytes wait takes the answer from its hands.
  void end();

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* to, size_t size) override;
  ssize_t write(const char* from, size_t size) override;
  // Who asks is nobody's business here: left as they are.
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }

 private:
  bool wait_for(short event, int64_t at_most_ns) const;
  ssize_t receive(char* to, size_t size);

  const socket_t socket_;
  const int64_t silence_ns_;
  const int64_t until_ns_;
  bool has_begun_ = false;
  size_t bytes_left_ = kHeadBytesMax;
  bool refused_ = false;  // there is more than was read
  std::array<char, 4096> buffer_;
  size_t begin_ = 0, end_ = 0;  // of what lies in it
};

}  // namespace agora::serve
