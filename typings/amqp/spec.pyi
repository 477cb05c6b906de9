from typing import ClassVar, NamedTuple, TypeAlias

Method: TypeAlias = tuple[int, int]

class method_t(NamedTuple):  # noqa: N801 - its name there
    method_sig: Method
    args: str | None
    content: bool

def method(method_sig: Method, args: str | None = ..., content: bool = ...) -> method_t: ...

class Connection:
    CLASS_ID: ClassVar[int]
    Start: ClassVar[Method]
    StartOk: ClassVar[Method]
    Tune: ClassVar[Method]
    TuneOk: ClassVar[Method]
    Open: ClassVar[Method]
    OpenOk: ClassVar[Method]
    Close: ClassVar[Method]
    CloseOk: ClassVar[Method]
    Blocked: ClassVar[Method]
    Unblocked: ClassVar[Method]

class Channel:
    CLASS_ID: ClassVar[int]
    Open: ClassVar[Method]
    OpenOk: ClassVar[Method]
    Flow: ClassVar[Method]
    FlowOk: ClassVar[Method]
    Close: ClassVar[Method]
    CloseOk: ClassVar[Method]

class Basic:
    CLASS_ID: ClassVar[int]
    Qos: ClassVar[Method]
    QosOk: ClassVar[Method]
    Consume: ClassVar[Method]
    ConsumeOk: ClassVar[Method]
    Cancel: ClassVar[Method]
    CancelOk: ClassVar[Method]
    Publish: ClassVar[Method]
    Return: ClassVar[Method]
    Deliver: ClassVar[Method]
    Get: ClassVar[Method]
    GetOk: ClassVar[Method]
    GetEmpty: ClassVar[Method]
    Ack: ClassVar[Method]
    Nack: ClassVar[Method]
    Reject: ClassVar[Method]
    Recover: ClassVar[Method]
    RecoverOk: ClassVar[Method]
    RecoverAsync: ClassVar[Method]

class Confirm:
    CLASS_ID: ClassVar[int]
    Select: ClassVar[Method]
    SelectOk: ClassVar[Method]
