"""The functions that a container's life runs in its shim, in the order of their first call; see `compact`.

Written by tests/integration/shim/recorded.py.
"""

from __future__ import annotations

FUNCTIONS = """\
shim/standby.py:_standby
shim/fork.py:undress
pycontainerd/linux/fds.py:null_stdio
pycontainerd/linux/fds.py:close_all_but
pycontainerd/linux/signals.py:default
pycontainerd/linux/prctl.py:set_subreaper
shim/main.py:Embryo.__init__
shim/log.py:Log.__init__
shim/log.py:Log.become
shim/loop.py:Loop.__init__
shim/children.py:Children.__init__
pycontainerd/linux/signals.py:signalfd
pycontainerd/linux/signals.py:_set_of
shim/loop.py:Loop.watch
shim/standby.py:_wake
shim/standby.py:_receive
pycontainerd/linux/fds.py:receive_fds
shim/standby.py:Birth.__init__
shim/standby.py:Birth.live
shim/standby.py:Birth._born
shim/jsontext.py:loads
shim/request.py:ShimRequest.__init__
shim/standby.py:Birth._become
pycontainerd/linux/sealed.py:Sealed.__init__
shim/sockets.py:listen
<frozen os>:_fscodec.<locals>.fsencode
shim/fork.py:become
shim/fork.py:_open_log
pycontainerd/linux/prctl.py:set_name
pycontainerd/linux/prctl.py:set_oom_score
shim/jsontext.py:dumps
shim/main.py:run
shim/events.py:Publisher.__init__
pycontainerd/wire/ttrpc.py:FrameReader.__init__
shim/context.py:Defaults.__init__
shim/context.py:Shim.__init__
shim/service.py:Service.__init__
shim/server.py:Server.__init__
shim/main.py:Life.__init__
shim/main.py:_inode
shim/loop.py:Loop.later
shim/loop.py:Timer.__init__
shim/loop.py:Timer.__lt__
pycontainerd/wire/failpoint.py:hit
shim/loop.py:Loop.run
shim/loop.py:Loop.turn
shim/loop.py:Loop._timeout
shim/loop.py:Loop._guard
shim/server.py:Server._accept
pycontainerd/linux/fds.py:accept
pycontainerd/linux/fds.py:peer_uid
shim/server.py:Connection.__init__
pycontainerd/wire/server.py:ServerSession.__init__
shim/server.py:Connection._active
pycontainerd/wire/server.py:ServerSession.receive
pycontainerd/wire/ttrpc.py:FrameReader.feed
pycontainerd/wire/ttrpc.py:Frame.__init__
pycontainerd/wire/server.py:ServerSession._frame
pycontainerd/wire/server.py:ServerSession._request
pycontainerd/wire/codec.py:Message.decode
pycontainerd/wire/messages/ttrpc.py:Request.__init__
pycontainerd/wire/codec.py:Message.stores
pycontainerd/wire/tables.py:merge
pycontainerd/wire/tables.py:_keep.<locals>.store
pycontainerd/wire/scalars.py:_read_string
pycontainerd/wire/scalars.py:read_length
pycontainerd/wire/scalars.py:_read_bytes
pycontainerd/wire/scalars.py:read_varint
pycontainerd/wire/scalars.py:_read_int64
pycontainerd/wire/tables.py:_link_repeated.<locals>.append
pycontainerd/wire/tables.py:_read_message
pycontainerd/wire/tables.py:Ref.load
pycontainerd/wire/messages/ttrpc.py:KeyValue.__init__
pycontainerd/wire/server.py:Request.__init__
pycontainerd/wire/server.py:Request.__init__.<locals>.<listcomp>
shim/server.py:Connection._request
shim/service.py:Service.serve
shim/service.py:Service._method
pycontainerd/wire/messages/task_v3.py:CreateTaskRequest.__init__
pycontainerd/wire/messages/types.py:Mount.__init__
shim/service.py:Service._steps
pycontainerd/wire/server.py:Request.first
shim/trace.py:trace_of
shim/loop.py:drive
shim/task/create.py:create
shim/task/create.py:_create
shim/task/options.py:options_of
pycontainerd/wire/messages/types_runc.py:Options.__init__
shim/task/options.py:join_shim_cgroup
shim/stdio/setup.py:Names.__init__
shim/task/options.py:runtime_of
shim/runtime.py:find
shim/runtime.py:Runtime.__init__
<frozen _collections_abc>:Mapping.get
<frozen os>:_Environ.__getitem__
<frozen os>:_createenviron.<locals>.encode
<frozen os>:_createenviron.<locals>.decode
shim/process.py:Process.__init__
shim/loop.py:Parked.__init__
shim/container.py:Container.__init__
shim/turns.py:Turns.__init__
shim/stdio/setup.py:Owner.__init__
shim/task/options.py:create_arguments
shim/task/create.py:_create.<locals>.<listcomp>
shim/trace.py:NoTrace.step
shim/trace.py:NoStep.__enter__
shim/task/create.py:mount_rootfs
pycontainerd/linux/mount.py:mount_all
pycontainerd/linux/mount.py:mount_one
pycontainerd/linux/mountopts.py:parse_options
pycontainerd/linux/mountopts.py:Options.__init__
pycontainerd/linux/mount.py:_mount_first
pycontainerd/linux/mountcall.py:mount_overlay
pycontainerd/linux/mountcall.py:mount
pycontainerd/linux/libc.py:encode
pycontainerd/linux/mount.py:finish
shim/trace.py:NoStep.__exit__
shim/spec.py:prepare
shim/spec.py:_read
pycontainerd/linux/fds.py:read_file
shim/spec.py:Spec.__init__
shim/spec.py:_own_pids
shim/spec.py:_values
shim/jsontext.py:skip_space
shim/jsontext.py:first
shim/spec.py:_cgroups_path
shim/spec.py:_cgroups_path.<locals>.<listcomp>
shim/task/options.py:remembered
shim/task/options.py:remembered.<locals>.<listcomp>
shim/task/options.py:remembered.<locals>.<dictcomp>
shim/bundle.py:write_runtime
pycontainerd/linux/fds.py:write_file
pycontainerd/linux/fds.py:write_all
shim/stdio/setup.py:Stdio.__init__
shim/stdio/setup.py:Stdio.open
shim/stdio/setup.py:Stdio._open
shim/stdio/setup.py:Stdio._open_sinks
shim/stdio/setup.py:Stdio._open_pipes
shim/stdio/setup.py:Stdio.ready
shim/task/create.py:run_init
shim/bundle.py:pid_file
shim/children.py:Children.hold
shim/container.py:Container.log
shim/bundle.py:log_file
shim/runtime.py:Runtime.call
shim/runtime.py:Runtime.command
shim/runtime.py:_size
pycontainerd/linux/sealed.py:Sealed.current
pycontainerd/linux/sealed.py:identity
pycontainerd/linux/sealed.py:Sealed.executable
shim/children.py:Children.run
shim/children.py:Children.spawn
shim/loop.py:Parked.__iter__
shim/loop.py:Parked.then
shim/server.py:Connection._write
shim/children.py:Children._signalled
pycontainerd/linux/signals.py:drain
pycontainerd/linux/signals.py:drain.<locals>.<genexpr>
shim/children.py:Children.reap
shim/children.py:status_of
shim/children.py:now
shim/children.py:Exit.__init__
shim/children.py:Children._ended
shim/children.py:Children.run.<locals>.done
shim/loop.py:Parked.set
shim/loop.py:Parked._finish
shim/loop.py:drive.<locals>.<lambda>
shim/stdio/setup.py:Stdio.handed
shim/bundle.py:read_pid
shim/container.py:Container.adopt
shim/process.py:Process.born
pycontainerd/linux/pidfd.py:open_pid
shim/children.py:Children.expect
shim/children.py:Children.release
shim/loop.py:Loop.soon
shim/task/create.py:_free_oom_score
pycontainerd/linux/prctl.py:oom_score
shim/stdio/setup.py:Stdio.start
pycontainerd/wire/messages/events_task.py:TaskIO.__init__
pycontainerd/wire/messages/events_task.py:TaskCreate.__init__
shim/events.py:Publisher.publish
pycontainerd/wire/messages/google.py:Timestamp.__init__
shim/events.py:topic_of
pycontainerd/wire/codec.py:Message.encode
pycontainerd/wire/tables.py:_emit_sized.<locals>.emit
pycontainerd/wire/scalars.py:_write_string
pycontainerd/wire/scalars.py:write_varint
pycontainerd/wire/tables.py:_link_repeated.<locals>.emit
pycontainerd/wire/tables.py:_write_message
pycontainerd/wire/tables.py:_link_single.<locals>.emit
pycontainerd/wire/scalars.py:_integer.<locals>.write
pycontainerd/wire/messages/google.py:Any.__init__
pycontainerd/wire/messages/types.py:Envelope.__init__
pycontainerd/wire/messages/events_ttrpc.py:ForwardRequest.__init__
pycontainerd/wire/scalars.py:_write_bytes
shim/events.py:Publisher._send
shim/events.py:Publisher._stop_timer
shim/events.py:Publisher._connect
shim/events.py:Publisher._request
pycontainerd/wire/ttrpc.py:header
shim/events.py:Publisher._flush
pycontainerd/wire/messages/task_v3.py:CreateTaskResponse.__init__
shim/service.py:Service._steps.<locals>.done
shim/server.py:Connection._request.<locals>.respond
pycontainerd/wire/server.py:ServerSession.respond
pycontainerd/wire/messages/ttrpc.py:Response.__init__
pycontainerd/wire/server.py:ServerSession._put
pycontainerd/wire/server.py:ServerSession.outgoing
shim/trace.py:NoTrace.send
shim/container.py:Container.find_cgroup
shim/context.py:Shim.hierarchies
pycontainerd/linux/cgroup.py:locate
pycontainerd/linux/cgroup.py:_text
pycontainerd/linux/cgroup.py:membership
pycontainerd/linux/cgroup.py:own
pycontainerd/linux/cgroup.py:locate.<locals>.<dictcomp>
pycontainerd/linux/cgroup.py:beneath
pycontainerd/linux/cgroup.py:locate.<locals>.<genexpr>
pycontainerd/linux/cgroup.py:Hierarchies.unified
pycontainerd/linux/cgroup.py:Hierarchies.unified.<locals>.<genexpr>
pycontainerd/linux/cgroup.py:Cgroup.__init__
shim/server.py:Connection.close
shim/loop.py:Loop.unwatch
shim/server.py:Server.left
shim/events.py:Publisher._active
shim/events.py:Publisher._answered
shim/loop.py:Timer.cancel
pycontainerd/wire/messages/task_v3.py:StartRequest.__init__
shim/task/start.py:start
shim/context.py:Shim.container
shim/container.py:Container.process
shim/turns.py:Turns.take
shim/turns.py:Turns._next
shim/states.py:check
shim/container.py:Container.starting
shim/task/start.py:_start_init
shim/task/start.py:_let_go
shim/startfifo.py:understood
<frozen posixpath>:basename
<frozen posixpath>:_get_sep
shim/runtime.py:Runtime.start_fifo
shim/runtime.py:Runtime.state
shim/startfifo.py:let_go
shim/startfifo.py:_open
shim/startfifo.py:_write
pycontainerd/linux/fds.py:close
shim/process.py:Process.runs
pycontainerd/wire/messages/events_task.py:TaskStart.__init__
shim/task/delete.py:forget_when_over
shim/container.py:Container.started
shim/container.py:Container._settle
shim/turns.py:Turns.give
pycontainerd/wire/messages/task_v3.py:StartResponse.__init__
shim/container.py:Container.watch_oom
pycontainerd/wire/messages/events_task.py:TaskOOM.__init__
shim/oom.py:OomWatch.__init__
pycontainerd/linux/cgroup.py:Cgroup.oom_kills
pycontainerd/linux/cgroup.py:flat
shim/oom.py:OomWatch._open
shim/loop.py:Timer.fire
shim/main.py:Life.tidy
pycontainerd/linux/prctl.py:trim_malloc
pycontainerd/wire/messages/task_v3.py:KillRequest.__init__
pycontainerd/wire/scalars.py:_read_uint32
shim/task/kill.py:kill
shim/process.py:Process.signal
pycontainerd/linux/pidfd.py:send
shim/container.py:Container.adopt.<locals>.<lambda>
shim/container.py:Container.on_exit
shim/container.py:Container._settle.<locals>.<genexpr>
shim/oom.py:OomWatch.look
shim/container.py:Container._tell
shim/bundle.py:write_exit
shim/bundle.py:exit_file
pycontainerd/linux/fds.py:replace_file
<frozen posixpath>:dirname
shim/process.py:Process.finish
shim/task/delete.py:forget_when_over.<locals>.<lambda>
pycontainerd/wire/messages/events_task.py:TaskExit.__init__
pycontainerd/wire/messages/task_v3.py:WaitRequest.__init__
shim/task/query.py:wait
shim/process.py:Process.exit_status
shim/process.py:Process.exited_at
pycontainerd/wire/messages/task_v3.py:WaitResponse.__init__
shim/task/delete.py:forget_when_over.<locals>.<lambda>.<locals>.<lambda>
shim/task/delete.py:_forget
shim/forget.py:forget
shim/forget.py:_groups
shim/forget.py:_groups.<locals>.<setcomp>
shim/forget.py:_groups.<locals>.<genexpr>
shim/forget.py:forget.<locals>.<listcomp>
shim/forget.py:forget.<locals>.<genexpr>
shim/forget.py:_remove
shim/task/delete.py:forget_when_over.<locals>.over
pycontainerd/wire/messages/task_v3.py:DeleteRequest.__init__
shim/task/delete.py:delete
shim/task/delete.py:_delete_init
shim/stdio/setup.py:Stdio.finish
shim/stdio/setup.py:Stdio.finish.<locals>.<listcomp>
shim/stdio/setup.py:Stdio.abandon
shim/task/delete.py:_runtime_delete
pycontainerd/linux/mount.py:unmount_all
pycontainerd/linux/mountcall.py:unmount
pycontainerd/linux/libc.py:oserror
shim/container.py:Container.close
shim/oom.py:OomWatch.close
shim/task/delete.py:_answer
pycontainerd/wire/messages/task_v3.py:DeleteResponse.__init__
pycontainerd/wire/messages/events_task.py:TaskDelete.__init__
pycontainerd/wire/messages/task_v3.py:ShutdownRequest.__init__
shim/task/shutdown.py:shutdown
shim/main.py:Life.shutdown
shim/server.py:Server.stop_listening
shim/main.py:Life.unlink
shim/events.py:Publisher.flushed
shim/main.py:Life._leave
shim/server.py:Server.busy
shim/server.py:Server.busy.<locals>.<genexpr>
shim/server.py:Connection.busy
shim/loop.py:Loop.stop
shim/stdio/uri.py:parse
shim/stdio/uri.py:parse.<locals>.<listcomp>
shim/stdio/uri.py:unquote
shim/stdio/uri.py:Target.__init__
shim/stdio/drivers.py:log_sinks
shim/stdio/drivers.py:_buffer_of
shim/stdio/uri.py:Target.get
shim/stdio/uri.py:size_of
shim/stdio/rotating.py:options_of
shim/stdio/uri.py:count_of
shim/stdio/uri.py:flag_of
shim/stdio/rotating.py:attributes_of
shim/stdio/rotating.py:attributes_of.<locals>.<dictcomp>
shim/stdio/rotating.py:Options.__init__
shim/stdio/drivers.py:_line_of
shim/stdio/rotating.py:RotatingFile.__init__
<frozen os>:makedirs
<frozen posixpath>:split
<frozen genericpath>:exists
<frozen genericpath>:isdir
shim/stdio/rotating.py:RotatingFile._open
shim/stdio/rotating.py:RotatingFile._recover
shim/stdio/rotating.py:RotatingFile._compress_next
shim/stdio/rotating.py:RotatingFile._older
shim/stdio/rotating.py:RotatingFile._compress_next.<locals>.<genexpr>
shim/stdio/drivers.py:log_sinks.<locals>.<dictcomp>
shim/stdio/jsonlines.py:Encoder.__init__
shim/stdio/stamp.py:Stamp.__init__
shim/stdio/sinks.py:LogSink.__init__
shim/stdio/sinks.py:Sink.__init__
shim/stdio/rotating.py:RotatingFile.acquire
shim/stdio/setup.py:Stdio._open_sinks.<locals>.<dictcomp>
shim/stdio/setup.py:Stdio._pipe
pycontainerd/linux/fds.py:pipe
shim/stdio/setup.py:Stdio._chown
shim/stdio/output.py:Output.__init__
shim/stdio/output.py:Tail.__init__
shim/stdio/output.py:Output._join
shim/stdio/output.py:Output.start
shim/stdio/output.py:Output._resume
shim/stdio/output.py:Output._readable
pycontainerd/linux/fds.py:read_some
shim/stdio/output.py:Tail.add
shim/stdio/sinks.py:LogSink.write
shim/stdio/jsonlines.py:Encoder.feed
shim/stdio/jsonlines.py:Encoder._block
shim/stdio/jsonlines.py:Encoder._end
shim/stdio/stamp.py:Stamp.now
shim/stdio/jsonlines.py:escape
shim/stdio/rotating.py:RotatingFile.write
shim/stdio/rotating.py:RotatingFile._put
shim/stdio/output.py:Output._end
shim/stdio/sinks.py:LogSink.finish
shim/stdio/sinks.py:LogSink._flush
shim/stdio/jsonlines.py:Encoder.waiting
shim/stdio/jsonlines.py:Encoder.finish
shim/stdio/sinks.py:LogSink.abandon
shim/stdio/rotating.py:RotatingFile.release
shim/stdio/output.py:Output._one_closed
shim/stdio/setup.py:Stdio.finish.<locals>.one
shim/stdio/output.py:Output.abandon
shim/stdio/input.py:Source.__init__
pycontainerd/linux/fifo.py:open_reader
pycontainerd/linux/fifo.py:check
pycontainerd/linux/fifo.py:open_writer
shim/stdio/sinks.py:fifo_sink
pycontainerd/linux/fifo.py:open_both
shim/stdio/sinks.py:PipeSink.__init__
shim/stdio/input.py:Input.__init__
shim/stdio/input.py:Input.add
shim/stdio/input.py:Input.start
shim/stdio/input.py:Input._resume
shim/stdio/input.py:Input._watch
shim/stdio/input.py:Input._settle
shim/stdio/sinks.py:PipeSink.write
shim/stdio/sinks.py:PipeSink._take
pycontainerd/linux/fds.py:write_some
shim/stdio/sinks.py:PipeSink.finish
shim/stdio/sinks.py:PipeSink._close
shim/stdio/input.py:Input.abandon
shim/stdio/input.py:Source.close
shim/stdio/input.py:Source.release
"""
"""`path:qualified name`, our own paths below the directory of the packages."""
WORDS = """\
undress socket fileno Embryo select poll register POLLIN idle len _wake os _exit fds null_stdio close_all_but signals
default SIGINT prctl set_subreaper open O_RDWR O_CLOEXEC dup2 close sorted set closerange _MAX_FD _signal signal SIG_DFL
libc _PR_SET_CHILD_SUBREAPER int oserror Log log Loop loop Children children become LEVELS get lower threshold fields
_log epoll _epoll _watched _timers _soon _running turns _loop _waiting _early _holds on_terminate signalfd SIGCHLD
SIGTERM _signals watch READ _signalled _set_of sigprocmask _SIG_BLOCK _SFD_NONBLOCK _SFD_CLOEXEC to_bytes _WORD sys
byteorder bytes _SET modify shared _accept write _TAKEN _receive Birth default_runtime live receive_fds MESSAGE
ConnectionResetError TimeoutError recvmsg _socket CMSG_SPACE MSG_CMSG_CLOEXEC SOL_SOCKET SCM_RIGHTS extend struct unpack
i _control _default_runtime _born run loads isinstance dict ValueError _become ShimRequest OSError RpcError refuse send
dumps getpid encode seq decode lstrip _SPACE _scan StopIteration value SystemError ImportError RecursionError strip str
_OPTIONAL namespace id bundle removeprefix events grpc_address log_level oom_score_adj cgroup runtime runtime_root
program program_identity info default_binary Sealed pop listen unlink path identity fd SOCK_STREAM SOCK_CLOEXEC fsencode
PATH_LIMIT AF_UNIX umask bind errno answers strerror fspath _open_log set_name set_oom_score join O_NONBLOCK O_NOFOLLOW
_PR_SET_NAME O_WRONLY self quote make_encoder _refuse encode_basestring_ascii Publisher Defaults Shim Server Service
Life shutdown terminate later LONELY check tidy hit _address _namespace _queue FrameReader _frames bytearray _unsent
_stream _attempts _timer _idle _buffer _skip journal defaults containers creating _shim _service _listener connections
setblocking _server _inode _turns _tidied _ending stat st_ino Timer time monotonic heappush at _act _armed _hit turn
_timeout _BATCH _guard heappop fire max Exception error type __name__ where accept BlockingIOError peer_uid getuid warn
append Connection getsockopt SO_PEERCRED ServerSession _session _owner _active _streams _last_id _out pending WRITE
_write read BLOCK receive Request _request feed _frame min HEADER_SIZE _HEADER unpack_from MAX_PAYLOAD Frame memoryview
stream_id kind flags length payload _reject RESOURCE_EXHAUSTED oversized REQUEST _put_error INVALID_ARGUMENT DATA _data
WireRequest DecodeError bool REMOTE_OPEN _OPEN REMOTE_CLOSED _HALF_CLOSED _UNARY cast merge stores MAX_DEPTH IndexError
TYPE UnicodeDecodeError reason B service method timeout_nano metadata _linked _link read_tag skip read_length
read_varint range _MASK64 load _cls partition __import__ _PACKAGE split getattr key timeout_ns serve message Message
return None respond code text fail _method invalid PLAIN _defect _steps TRACED SERVICES unimplemented rootfs terminal
stdin stdout stderr checkpoint parent_checkpoint options source target trace_of first TRACE_HEADER drive on _rooted Any
parse Trace NONE next done then startswith already_exists add _create discard publish TaskCreate TaskIO init pid
CreateTaskResponse options_of join_shim_cgroup Names Container runtime_of Process Owner io_uid io_gid owner
create_arguments criu_work_path criu step mount_rootfs prepare spec files write_runtime binary remembered Stdio stdio
ready run_init undo from_oserror create type_url Options rpartition _CRI_OPTIONS unknown no_pivot_root no_new_keyring
shim_cgroup binary_name root systemd_cgroup criu_image_path task_api_address task_api_version join_all hierarchies
DEFAULT_ROOT Runtime find access X_OK environ PATH isfile _children _program _environment LD_LIBRARY_PATH KeyError
encodekey decodevalue TypeError surrogateescape exec_id names CREATED state pidfd exit Parked ended starting _value
_error _then shim execs Turns forgotten over _oom _starting_execs _start_held _alone _sharing container uid gid _NO_STEP
mkdir FileExistsError mount_all mount_one BaseException reversed unmount UMOUNT_NOFOLLOW MNT_DETACH parse_options
_beneath uidmap idmap mount_idmapped attach read_only _mount_first finish _CLEAR _PROPAGATION propagation gidmap data
MS_REMOUNT mount_overlay MS_BIND mount MS_REC overlay _PAGE overlay_layers common_directory E2BIG rstrip abspath
_from_directory FileNotFoundError _missing_layer PER_MOUNT _remount _read _resolve_user Spec replace read_file LIMIT
O_RDONLY _CHUNK EFBIG _own_pids own_pids own_oom_score poststart poststop _cgroups_path cgroups_path intel_rdt _values
list namespaces skip_space _SPACES cgroupsPath FIELDS write_file O_CREAT O_TRUNC write_all child outputs _owned _input
_logger _sinks _source _master _size _attached _logs _started _serial _stdin_closed _open abandon scheme Source
_open_logger _open_sinks _open_pipes fifo fifo_sink DRIVERS log_sinks items file FileSink none _pipe Input Output
wait_ready ConsoleSocket pid_file NULL_STDIO hold call handed read_pid adopt release console soon find_cgroup
_free_oom_score start log_file command current executable status failure json st_size st_dev st_mtime_ns spawn Exit
fcntl F_DUPFD_CLOEXEC _HIGH POSIX_SPAWN_DUP2 posix_spawn _DEFAULTED outgoing UNSENT drain reap RECORD update from_bytes
little _MANY waitpid WNOHANG ChildProcessError _ended status_of now WIFSIGNALED WTERMSIG WEXITSTATUS divmod time_ns
debug _finish clear born expect on_exit open_pid pidfd_open oom_score _join values close_stdin container_id io Envelope
Timestamp topic_of QUEUE ForwardRequest _send seconds nanos TOPICS EncodeError AttributeError struct_error ONEOFS
_check_oneofs _ONE_BYTE write_varint timestamp topic event envelope tobytes _stop_timer _connect _failed _EVENTS TIMEOUT
Forward _lost cancel SOCK_NONBLOCK connect header _UNSENT _disconnect _flush pack WireResponse _put RESPONSE locate
HIERARCHIES mounted membership _text own v2 beneath all Cgroup unified v1 splitlines any dirs whole unwatch left
unregister remove _answered Response process take _start_exec _start_init started give _trace_output StartResponse
not_found _next ALLOWED aeiou an a watch_oom _let_go runs TaskStart forget_when_over restore understood let_go
start_fifo basename RUNTIMES _ELF _get_sep rfind startfifo NAME RUNNING object _forget _settle STOPPED look _tell
TaskOOM OomWatch _group oom_kills _seen _fd _woken flat memory oom_kill isdigit inotify eventfd EFD_CLOEXEC EFD_NONBLOCK
gc collect THOROUGH trim_malloc TIDY malloc_trim precondition _kill_all SIGKILL PAUSED thaw Empty kill MAX_SIGNAL
ProcessLookupError pidfd_send_signal _kill_rest write_exit TaskExit exit_file replace_file dirname rename exit_status
exited_at WaitResponse unset forget delete _groups scandir _remove rmdir is_dir endswith _delete_exec _delete_init sleep
tuple remove_exec _runtime_delete unmount_all _answer TaskDelete DRAIN _BUSY_RETRIES ENOENT ENOTDIR EINVAL
_unmount_below EBUSY _BUSY_PAUSE umount2 ctypes get_errno DeleteResponse stop_listening FLUSH stop flushed _leave busy
Target SCHEMES unquote _pair journald isalnum _none query _buffer_of attributes_of JournalSink Entries Buffer _line_of
RotatingFile cri LogSink CriEncoder Encoder attributes size_of BUFFER mode blocking isascii _UNITS bkmg MAX_SIZE
count_of MAX_FILES flag_of compress true _ATTRIBUTE max_size max_files MAX_LINE _busy _users _folder _name makedirs
_recover exists curdir isdir ASCII S_ISDIR st_mode O_APPEND fstat pread listdir _UNFINISHED _unlink _compress_next
_older _compress _PACKED sort _head _tail _rest Stamp _stamp _second super __init__ acquire _file _encoder gone pipe
set_blocking _chown pipe2 _F_SETPIPE_SZ fchown _full Tail tail _blocks _ready _resume _readable read_some _end EIO TAIL
note _parts _block _longest _slow escape strftime gmtime Z translate _CONTROLS _RARE _rotate ftruncate _one_closed
waiting _line attached open_reader open_writer keeper _FLAGS S_ISFIFO ENXIO PipeSink open_both _held _terminal _sources
_closing _watch _pass _take _writable write_some _close
"""
"""The names of attributes and globals in them."""
