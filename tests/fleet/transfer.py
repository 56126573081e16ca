"""A transfer by TCP between two pods, for scripts that run in them: does it complete, or hang?"""

PORT = 9000

# Reads all, and answers with how much it was; one that hangs does not hold up the next.
RECEIVER = f"""
import socketserver
class Receiver(socketserver.BaseRequestHandler):
    def handle(self):
        count = 0
        while data := self.request.recv(65536):
            count += len(data)
        self.request.sendall(str(count).encode())
socketserver.ThreadingTCPServer(("", {PORT}), Receiver).serve_forever()
"""
# ADDRESS BYTES SECONDS: the answer, or nothing when there is none for so long.
SENDER = f"""
import socket, sys
address, size, patience = sys.argv[1:]
with socket.create_connection((address, {PORT}), timeout=float(patience)) as peer:
    try:
        peer.sendall(b"x" * int(size))
        peer.shutdown(socket.SHUT_WR)
        print(peer.recv(100).decode(), end="")
    except TimeoutError:
        pass
"""
