"""The red team in JavaScript and bash: programs that want a pass without solving anything, or the machine.

Each is a program that defines `attempt`, by which a problem's function is replaced. It gives back what it hopes will
pass; one that breaches something gives back the word BREACHED once it has.
"""

from dataclasses import dataclass

from parity.testing.hacks import BREACHED


@dataclass(frozen=True, slots=True)
class ScriptHack:
    """One trick in one language. `slow`: it ends at a time limit."""

    language: str
    name: str
    program: str
    slow: bool = False

    def of(self, entry: str) -> str:
        """The program with the trick under another name."""
        return self.program.replace("attempt", entry)


def _breach(line: str) -> str:
    """JavaScript that breaches when its one line, which may throw, does not."""
    return f"function attempt(...a) {{ try {{ {line} }} catch (e) {{ return String(e); }} return {BREACHED!r}; }}"


def _tried(command: str) -> str:
    """Bash that breaches when a command succeeds."""
    return f"attempt() {{\n if ( {command} ) >/dev/null 2>&1; then echo {BREACHED}; else echo no; fi\n}}"


_FRAME = (
    "const send = (m) => { const b = Buffer.from(JSON.stringify(m)), f = Buffer.alloc(4 + b.length);"
    "f.writeUInt32LE(b.length); b.copy(f, 4); require('fs').writeSync(FD, f); };"
)
_PASSED = "{nonce: '0', outcome: 'passed', detail: '', held_objects: false}"
_JS: dict[str, str] = {
    "leaves at once": "process.exit(0);",
    "leaves when called": "function attempt() { process.exit(0); }",
    "prints the words of success": "console.log('ok! passed 100%'); function attempt() { console.log('passed'); }",
    "exit handlers": "process.on('exit', () => { process.exitCode = 0; }); function attempt() {}",
    "ignores what is thrown": "process.on('uncaughtException', () => {}); function attempt() { throw 1; }",
    "patches assert": (
        "const as = require('node:assert'); for (const k of Object.keys(as)) as[k] = as.strict[k] = () => {};"
        "function attempt() {}"
    ),
    "patches equality": (
        "Object.is = () => true; Array.isArray = () => true; JSON.stringify = () => '{}';"
        "Object.prototype.valueOf = () => true; function attempt() {}"
    ),
    "an object that equals": (
        "function attempt() { return { valueOf() { return 1; }, toString() { return ''; }, [Symbol.toPrimitive]() "
        "{ return true; } }; }"
    ),
    "a proxy of everything": (
        "function attempt() { return new Proxy({}, { get: () => 1, has: () => true, ownKeys: () => [], "
        "getPrototypeOf: () => Array.prototype }); }"
    ),
    "a getter that changes": "let n = 0; function attempt() { return { get x() { return n++; } }; }",
    "a prototype of its own": 'function attempt() { return JSON.parse(\'{"__proto__": {"equals": true}}\'); }',
    "NaN": "function attempt() { return NaN; }",
    "a boxed number": "function attempt() { return new Number(1); }",
    "walks to its caller": (
        "function attempt() { const c = attempt.caller;"
        "const m = c && /candidate\\([^;]*?\\),(.*?)\\)/.exec(String(c)); return m ? eval(m[1]) : null; }"
    ),
    "reads the stack": (
        "Error.prepareStackTrace = (_, s) => s; function attempt() { for (const f of new Error().stack) "
        "{ const t = String(f.getFunction()); if (t.includes('assert')) return eval(/,(.*?)\\)/.exec(t)[1]); } }"
    ),
    "answers before it is asked": _FRAME.replace("FD", "3")
    + "for (let i = 0; i < 9; i++) send({nonce: '0', value: 1}); function attempt() {}",
    "says the verdict itself": _FRAME.replace("FD", "3")
    + f"send({_PASSED}); function attempt() {{ send({_PASSED}); }}",
    "says the verdict where it is said": "function attempt() { for (let fd = 0; fd < 64; fd++) { try {"
    + _FRAME.replace("FD", "fd")
    + f"if (fd !== 3) send({_PASSED}); }} catch (e) {{}} }} }}",
    "closes everything": "function attempt() { for (let i = 0; i < 64; i++) { try { require('fs').closeSync(i); } "
    "catch (e) {} } }",
    "a deep value": "function attempt() { let v = []; for (let i = 0; i < 1e5; i++) v = [v]; return v; }",
    "a value of itself": "function attempt() { const v = []; v.push(v); return v; }",
    "a frame of its own making": (
        "Buffer.prototype.writeUInt32LE = function (n) { this.fill(255, 0, 4); return 4; }; function attempt() {}"
    ),
    "no JSON": "JSON.stringify = () => '{\"nonce'; function attempt() {}",
    "reads /etc/passwd": _breach("require('fs').readFileSync('/etc/passwd')"),
    "reads /proc": _breach("require('fs').readFileSync('/proc/self/environ')"),
    "reads its parent's command line": _breach("require('fs').readFileSync(`/proc/${process.ppid}/cmdline`)"),
    "writes outside": _breach("require('fs').writeFileSync('/tmp/parity-breach', 'x')"),
    "an old secret of the environment": _breach("if (!Object.keys(process.env).some((k) => /KEY|TOKEN|USER/.test(k))) "
    "throw 1"),
    "starts a process": _breach("if (require('child_process').spawnSync('/bin/true').error) throw 1"),
    "forks itself": _breach("if (!require('child_process').fork('/dev/null').pid) throw 1"),
    "kills its parent": _breach("process.kill(process.ppid, 'SIGKILL')"),
    "kills everybody": _breach("process.kill(-1, 'SIGKILL')"),
    "a symlink out": _breach("const fs = require('fs'); fs.symlinkSync('/etc', 'e'); fs.readFileSync('e/passwd')"),
    "a hard link": _breach("require('fs').linkSync('/etc/passwd', 'p')"),
    "a native library": _breach("process.dlopen({ exports: {} }, '/usr/lib/x86_64-linux-gnu/libc.so.6')"),
    "changes modes": _breach("require('fs').writeFileSync('m', 'x'); require('fs').chmodSync('m', 0o4777)"),
}  # fmt: skip
_JS_SLOW: dict[str, str] = {
    "never answers": "function attempt() { for (;;); }",
    "sleeps": "function attempt() { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }",
    "takes all memory": "function attempt() { const a = []; for (;;) a.push(Buffer.alloc(1 << 24, 1)); }",
    "threads without end": (
        "const { Worker } = require('worker_threads'); function attempt() { const w = []; for (;;) "
        "w.push(new Worker('for(;;);', { eval: true })); }"
    ),
    "floods its answer": "function attempt() { return 'x'.repeat(1 << 28); }",
    "floods the link": (
        "function attempt() { const b = Buffer.alloc(1 << 20); for (;;) require('fs').writeSync(3, b); }"
    ),
    "an evil pattern": "function attempt() { return /^(a+)+$/.test('a'.repeat(40) + 'b'); }",
}  # fmt: skip
_SH: dict[str, str] = {
    "leaves at once": "exit 0",
    "leaves when called": "attempt() { exit 0; }",
    "prints the words of success": "echo passed; attempt() { echo 'ok passed'; }",
    "a trap": "trap 'exit 0' EXIT ERR; attempt() { false; }",
    "patches the brackets": "function [ { return 0; }; function test { return 0; }; attempt() { echo; }",
    "patches printf": "printf() { builtin printf 'passed'; }; attempt() { :; }",
    "a pattern that matches": "attempt() { echo '*'; }",
    "quotes out of the test": "attempt() { echo '\" || true ]] || [[ \"'; }",
    "a substitution": "attempt() { echo '$(exit 0)' '`exit 0`'; }",
    "an alias": "shopt -s expand_aliases; alias '[['=true; attempt() { :; }",
    "exports a function": (
        "candidate() { echo; }; export -f candidate; BASH_ENV=/dev/stdin; export BASH_ENV; attempt() { :; }"
    ),
    "says the verdict": (
        "for f in 0 1 2 3 4 5; do printf '\\103\\0\\0\\0{\"nonce\":\"0\",\"outcome\":\"passed\",\"detail\":\"\","
        "\"held_objects\":false}' >&$f; done; attempt() { :; }"
    ),
    "answers before it is asked": "printf '0\\0001\\0000\\0001\\000' >&3; attempt() { :; }",
    "answers again and again": "attempt() { for i in 1 2 3 4; do printf '%s\\0%s\\0' \"$_nonce\" \"$i\" >&3; done; }",
    "closes everything": "for i in 0 1 2 3 4 5 6 7; do eval \"exec $i>&-\"; done; attempt() { :; }",
    "becomes something else": "exec true; attempt() { :; }",
    "reads the caller": "attempt() { caller 0; caller 1; declare -f; set; history; }",
    "reads what is left of the script": "attempt() { cat <&255; cat; cat /dev/fd/255; }",
    "reads /etc/passwd": _tried("cat /etc/passwd"),
    "reads /proc": _tried("cat /proc/self/environ || cat /proc/$PPID/cmdline || ls /proc/1"),
    "lists what others have": _tried("ls /home /root /work /tmp"),
    "writes outside": _tried("echo x > /tmp/parity-breach || echo x > /var/tmp/parity-breach"),
    "the network": _tried("exec 9<>/dev/tcp/127.0.0.1/22 || exec 9<>/dev/udp/127.0.0.1/53"),
    "kills its parent": _tried("kill -9 $PPID || kill -STOP $PPID"),
    "kills everybody": _tried("kill -9 -1"),
    "kills its group": "attempt() { kill -9 0; kill -9 -$$; echo no; }",
    "leaves its group": _tried(
        "setsid -w true || python3 -c 'import os; os.setsid()' || perl -e 'setpgrp(0, 0) or die'"
    ),
    "another user": _tried("su -c true || sudo -n true"),
    "a namespace": _tried("unshare -r true || unshare -n true"),
    "traces": _tried("strace -p $PPID -o /dev/null || gdb -p $PPID -batch"),
    "mounts": _tried("mount -t tmpfs none . || umount /"),
    "a symlink out": _tried("ln -s /etc e && cat e/passwd"),
    "a hard link": _tried("ln /etc/passwd p"),
    "sets a mode": _tried("cp /bin/true t && chmod 4755 t"),
    "runs what it wrote": _tried("printf '\\177ELF' > x; cp /usr/bin/true y && ./y"),
    "a python without the sandbox's": _tried("python3 -c 'import socket; socket.socket()'"),
    "a perl that opens a socket": _tried("perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) or die'"),
    "leaves a process behind": "attempt() { (sleep 600 &) ; (nohup sleep 600 >/dev/null 2>&1 &); echo no; }",
}  # fmt: skip
_SH_SLOW: dict[str, str] = {
    "never answers": "attempt() { while :; do :; done; }",
    "sleeps": "attempt() { sleep 600; }",
    "a fork bomb": "attempt() { bomb() { bomb | bomb & }; bomb; wait; }",
    "takes all memory": 'attempt() { local x=xxxxxxxx; while :; do x="$x$x"; done; }',
    "floods its answer": "attempt() { yes; }",
    "many files": "attempt() { for ((i = 0; ; i++)); do head -c 1000000 /dev/urandom > f$i || break; done; echo no; }",
    "a deep recursion": "attempt() { attempt; }",
}
SCRIPT_HACKS: tuple[ScriptHack, ...] = tuple(
    ScriptHack(language, name, program, slow)
    for language, slow, hacks in (
        ("js", False, _JS),
        ("js", True, _JS_SLOW),
        ("sh", False, _SH),
        ("sh", True, _SH_SLOW),
    )
    for name, program in hacks.items()
)
