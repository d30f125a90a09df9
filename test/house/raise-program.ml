(* A program in OCaml whose callbacks raise through the library: what it catches around the wait, and
   that everything goes on behind it. raise-stubs.c is between the two. *)

external create : unit -> nativeint = "raise_create"
external release : nativeint -> unit = "raise_release"
external wait : nativeint -> int = "raise_wait"
external timeout : nativeint -> (unit -> unit) -> unit = "raise_timeout"

exception Told of int

let calls = ref 0

let fail () =
  incr calls;
  Gc.compact ();
  raise (Told !calls)

let count () = incr calls

let check condition text =
  if not condition then (
    prerr_endline ("not so: " ^ text);
    exit 1)

let () =
  let ring = create () in
  let turn () = try wait ring with Told number -> 100 + number in
  let rec until number last =
    check (last >= 0) "the wait works";
    if !calls < number then until number (turn ()) else last
  in
  timeout ring fail;
  check (until 1 0 = 101) "it is caught";
  timeout ring fail;
  timeout ring count;
  ignore (until 3 0);
  check (!calls = 3) "nothing is lost or told twice";
  timeout ring count;
  check (until 4 0 = 0) "a turn that nobody leaves";
  release ring
