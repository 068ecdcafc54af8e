#!/bin/bash
# The third opinion: verifies an audit pack, a bundle to install or one Sigstore bundle (v0.3) with bash, openssl 3.0, jq
# and what every Debian has (awk, coreutils, findutils, grep, sed, tar). It shares nothing with the other two verifiers
# but the contract, docs/reference/trust_formats.md, and names the same steps.
#
#   verify.sh release FOLDER sha256:HEX [--state FILE] [--not-older-than TIME]
#   verify.sh pack PACK sha256:HEX [--state FILE] [--not-older-than TIME] [--bundle HEX]
#   verify.sh bundle --root F --issuing F --tsa F --log-key F --origin O --identity ID --issuer I BUNDLE ARTIFACT
#
# ARTIFACT is a file or sha256:HEX. Exit code 0: every step holds; 3: one does not and is named; 2: wrong use.
# Not judged, and said so: the signature of the certificate timestamp (it is over a certificate that openssl cannot
# rebuild) and ML-DSA.
#
# Every check goes through `must`: under `set -e`, `[ ... ] && echo ok` would not stop.
# shellcheck disable=SC2016 # what stands in single quotes are programs of jq
# shellcheck disable=SC2018,SC2019 # names are ASCII here
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 077
exec 3>&1 # refusals reach the reader from inside command substitutions
STEP=usage ABOUT='' W=$(mktemp -d)
CHECKED=() ESTABLISHED=() NOT_ESTABLISHED=()

# shellcheck disable=SC2317 # called by the trap
finish() {
  local code=$?
  rm -rf "$W"
  case $code in 0 | 2 | 3) exit "$code" ;; esac
  echo "REFUSED $STEP: ${ABOUT}a command failed" >&3
  exit 3
}
trap finish EXIT

usage() { sed -n '6,8s/^# *//p' "$0" >&2 && exit 2; }
refuse() {
  ((${#CHECKED[@]} == 0)) || printf 'ok %s\n' "${CHECKED[@]}" >&3
  local said=$ABOUT$*
  printf 'REFUSED %s: %s\n' "$STEP" "${said//[^ -~]/?}" >&3 # what others wrote can neither end a line nor do more
  exit 3
}
must() {
  local what=$1
  shift
  if ! "$@" >"$W/out" 2>&1; then refuse "$what"; fi
}
step() {
  [[ $STEP == usage || " ${CHECKED[*]} " == *" $STEP "* ]] || CHECKED+=("$STEP")
  STEP=$1
}
conclude() {
  step end
  printf 'ok %s\n' "${CHECKED[@]}"
  printf 'established: %s\n' "${ESTABLISHED[@]//[^ -~]/?}"
  printf 'not established: %s\n' "${NOT_ESTABLISHED[@]//[^ -~]/?}"
  echo VERIFIED
}
not() { ! "$@"; }

# ---- bytes, JSON, signatures

hex() { od -An -v -tx1 "$@" | tr -d ' \n'; }
unhex() { printf '%b' "$(sed 's/../\\x&/g')"; }
sha() {
  local line
  line=$(openssl dgst -sha256 -r "$1")
  printf %s "${line%% *}"
}
same() { cmp -s "$1" "$2"; }
is_digest() { [[ $1 =~ ^sha256:[0-9a-f]{64}$ ]]; }
is_number() { [[ $1 =~ ^(0|[1-9][0-9]{0,14})$ ]]; }
seconds() { # of an RFC 3339 time in UTC
  [[ $1 =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$ ]] && date -ud "$1" +%s
}
show() { date -ud "@$1" +%FT%TZ; }
# Base64 in its one spelling, from file $1 to file $2.
unbase64() { base64 -d "$1" >"$2" 2>/dev/null && base64 -w0 "$2" | cmp -s - "$1"; }
decode() { # base64 text $1 into file $2
  printf %s "$1" >"$W/decode" && unbase64 "$W/decode" "$2"
}
# The base64 text at jq path $2 of file $1, decoded into file $3.
field() { jq -ej "$2 | strings" "$1" >"$W/field" 2>/dev/null && unbase64 "$W/field" "$3"; }
# Whether the output of jq (an array around what it read) is the bytes of file $1: so nothing stands twice, and alone.
is_same_json() { { printf '[' && cat "$1" && printf ']\n'; } | cmp -s - "$W/again"; }
# JSON without a name that stands twice: the parser drops the first one, the stream of events does not.
is_json() {
  local events leaves
  (($(stat -c %s "$1") <= 33554432)) || return 1
  jq -acs . "$1" >"$W/again" 2>/dev/null || return 1
  if is_same_json "$1"; then return 0; fi
  events=$(jq -n --stream 'reduce (inputs | select(length == 2)) as $each (0; . + 1)' "$1" 2>/dev/null) || return 1
  leaves=$(jq 'if length == 1 then [.[0] | tostream | select(length == 2)] | length else error end' "$W/again") || return 1
  [[ $events == "$leaves" ]]
}
# RFC 8785 for what we sign: no floats, names in ASCII.
is_canonical() { jq -cSs . "$1" >"$W/again" 2>/dev/null && is_same_json "$1"; }
# jq program $2 says true of file $1.
says() {
  local file=$1 program=$2
  shift 2
  jq -e "$@" "$program" "$file" >/dev/null 2>&1
}
# Object with exactly these members, in any order: jq function for `says`.
OBJECT='def only($names): type == "object" and (keys - $names) == [] and ($names - keys) == [];
def within($must; $may): type == "object" and ($must - keys) == [] and (keys - $must - $may) == [];'

# Whether the PEM key $1 made signature file $2 over file $3.
is_signed() {
  case $(openssl pkey -pubin -in "$1" -noout -text 2>/dev/null) in
    ED25519*) openssl pkeyutl -verify -pubin -inkey "$1" -rawin -in "$3" -sigfile "$2" ;;
    *secp384r1*) openssl dgst -sha384 -verify "$1" -signature "$2" "$3" ;;
    *prime256v1*) openssl dgst -sha256 -verify "$1" -signature "$2" "$3" ;;
    *) return 1 ;;
  esac
}
der_to_pem() { # a certificate and nothing after it, which openssl would ignore
  openssl x509 -inform DER -in "$1" -out "$2" 2>/dev/null && openssl x509 -in "$2" -outform DER | cmp -s - "$1"
}
is_one_value() { # DER with the length of file $1
  local head size
  head=$(head -c 5 "$1" | hex)
  case ${head:2:2} in
    83) size=$((5 + 16#${head:4:6})) ;;
    82) size=$((4 + 16#${head:4:4})) ;;
    81) size=$((3 + 16#${head:4:2})) ;;
    *) size=$((2 + 16#${head:2:2})) ;;
  esac
  [[ $size == "$(stat -c %s "$1")" ]]
}
spki_to_pem() { openssl pkey -pubin -inform DER -in "$1" -out "$2" 2>/dev/null; }
ed25519_pem() { # from 32 bytes in hex
  printf %s "302a300506032b6570032100$1" | unhex >"$W/ed.der" && spki_to_pem "$W/ed.der" "$2"
}
certificate_digest() { openssl x509 -in "$1" -outform DER | openssl dgst -sha256 -r | cut -c1-64; }

# ---- checkpoints and Merkle trees

# Sets NOTE_ORIGIN, NOTE_SIZE and NOTE_ROOT (hex) from note $1, and writes its text to $W/text.
read_note() {
  (($(stat -c %s "$1") <= 65536)) || return 1
  sed '/^$/,$d' "$1" >"$W/text"
  [[ $(wc -l <"$W/text") == 3 && $(sed -n '4p' "$1") == '' && $(tail -c 1 "$1" | hex) == 0a ]] || return 1
  NOTE_ORIGIN=$(sed -n 1p "$W/text") NOTE_SIZE=$(sed -n 2p "$W/text")
  sed -n 3p "$W/text" | tr -d '\n' >"$W/root64"
  unbase64 "$W/root64" "$W/root" && [[ $(stat -c %s "$W/root") == 32 ]] && is_number "$NOTE_SIZE" || return 1
  NOTE_ROOT=$(hex "$W/root")
  sed '1,4d' "$1" >"$W/lines"
  [[ -s $W/lines ]] && not grep -qvE '^— [^ +]+ [A-Za-z0-9+/]+=*$' "$W/lines"
}
# The signature of the one line by name $1 and key hash $2 (hex), into file $3. Status 2: there is no such line.
note_line() {
  local name body found=0
  while read -r _ name body; do
    printf %s "$body" >"$W/line64"
    unbase64 "$W/line64" "$W/line" || return 1
    if [[ $name == "$1" && $(head -c 4 "$W/line" | hex) == "$2" ]]; then
      found=$((found + 1))
      tail -c +5 "$W/line" >"$3"
    fi
  done <"$W/lines"
  ((found < 2)) || return 1
  ((found == 1)) || return 2
}

declare -A NODE=() # "level.index" -> hash in hex, of every whole subtree of the log

node() { printf %s "01$1$2" | unhex | openssl dgst -sha256 -r | cut -c1-64; }
tree_root() { # of the first $1 entries
  local rest=$1 level start=0 peaks=() current
  if ((rest == 0)); then printf '' | openssl dgst -sha256 -r | cut -c1-64 && return; fi
  while ((rest)); do
    level=0
    while ((1 << (level + 1) <= rest)); do level=$((level + 1)); done
    peaks+=("${NODE[$level.$((start >> level))]}")
    start=$((start + (1 << level))) rest=$((rest - (1 << level)))
  done
  current=${peaks[-1]}
  for ((level = ${#peaks[@]} - 2; level >= 0; level--)); do current=$(node "${peaks[level]}" "$current"); done
  printf %s "$current"
}
# RFC 9162 section 2.1.3.2: leaf hash $1, index $2, size $3, then the proof in hex; prints the root.
proof_root() {
  local current=$1 index=$2 last=$(($3 - 1)) each
  ((index <= last)) || return 1
  shift 3
  for each in "$@"; do
    ((last)) || return 1
    if ((index & 1 || index == last)); then
      current=$(node "$each" "$current")
      while ((!(index & 1) && index)); do index=$((index >> 1)) last=$((last >> 1)); done
    else
      current=$(node "$current" "$each")
    fi
    index=$((index >> 1)) last=$((last >> 1))
  done
  ((last == 0)) && printf %s "$current"
}
# Hashes of many files in one process: $1 is a printf format of names, $2 and $3 the first and last number.
hash_many() {
  local number names=()
  # shellcheck disable=SC2059 # the format is the point
  for ((number = $2; number <= $3; number++)); do names+=("$(printf "$1" "$number")"); done
  openssl dgst -sha256 -r "${names[@]}" | cut -c1-64
}

# ---- one bundle. In: BUNDLE, IN_PACK, ARTIFACT, ORIGIN, IDENTITY, ISSUER, LOG_PEM and LOG_ID (hex), and the folder
# $W/authorities with numbered <n>.issuing.pem and <n>.root.pem, and <n>.tsa.pem with <n>.tsaroot.pem.

ID_OF_ISSUER=1.3.6.1.4.1.57264.1
BUNDLE_FORM="$OBJECT"'
def text: type == "string"; def digits: text and test("^(0|[1-9][0-9]{0,14})$");
within(["mediaType", "verificationMaterial"]; ["dsseEnvelope", "messageSignature"]) and length == 3
and (.mediaType == "application/vnd.dev.sigstore.bundle.v0.3+json"
  or .mediaType == "application/vnd.dev.sigstore.bundle+json;version=0.3")
and (.verificationMaterial | within(["certificate", "tlogEntries"]; ["timestampVerificationData"])
  and (.certificate | only(["rawBytes"]))
  and (.timestampVerificationData // {} | within([]; ["rfc3161Timestamps"])
    and (.rfc3161Timestamps // [] | length <= 1 and all(.[]; only(["signedTimestamp"]))))
  and (.tlogEntries | length == 1 and (.[0] | within(["logIndex", "logId", "kindVersion", "canonicalizedBody"];
      ["integratedTime", "inclusionPromise", "inclusionProof"])
    and (.logIndex | digits) and (.integratedTime // "0" | digits) and (.logId | only(["keyId"]))
    and (.kindVersion | only(["kind", "version"]))
    and (.inclusionPromise // {"signedEntryTimestamp": ""} | only(["signedEntryTimestamp"]))
    and (.inclusionProof == null or (.inclusionProof | within(["logIndex", "rootHash", "treeSize", "checkpoint"]; ["hashes"])
      and (.logIndex | digits) and (.treeSize | digits) and (.checkpoint | only(["envelope"]))
      and (.hashes // [] | length <= 64 and all(.[]; text and length == 44)))))))
and (.dsseEnvelope == null or (.dsseEnvelope | only(["payload", "payloadType", "signatures"])
  and (.signatures | length == 1 and (.[0] | within(["sig"]; ["keyid"])))))
and (.messageSignature == null or (.messageSignature | within(["signature"]; ["messageDigest"])))'

# All of a bundle that is used, one value a line.
BUNDLE_FIELDS='.verificationMaterial as $material | $material.tlogEntries[0] as $entry | $entry.inclusionProof as $proof
| $material.certificate.rawBytes, $entry.canonicalizedBody, $entry.kindVersion.kind + "/" + $entry.kindVersion.version,
  .dsseEnvelope.signatures[0].sig // .messageSignature.signature, .dsseEnvelope.payload // "",
  .dsseEnvelope.payloadType // "", $entry.logId.keyId, $entry.logIndex,
  $entry.inclusionPromise.signedEntryTimestamp // "",
  $material.timestampVerificationData.rfc3161Timestamps[0].signedTimestamp // "",
  $proof.rootHash // "", $proof.treeSize // "", $proof.logIndex // "", ($proof.hashes // [] | join(" ")),
  ($proof.checkpoint.envelope // "" | @base64), $entry.integratedTime // "0"'

# A bundle of a pack as sites write it, byte for byte: no signature covers its spelling.
ONE_FORM='.dsseEnvelope.signatures[0] as $signature | {mediaType, verificationMaterial: (.verificationMaterial
  | {certificate, tlogEntries: [.tlogEntries[0] | {logIndex, logId, kindVersion: (.kindVersion | {kind, version}),
      integratedTime, inclusionPromise,
      inclusionProof: (.inclusionProof | {logIndex, rootHash, treeSize, hashes, checkpoint}), canonicalizedBody}],
    timestampVerificationData}),
  dsseEnvelope: (.dsseEnvelope | {payload, payloadType, signatures: [{sig: $signature.sig}]})}
| if .mediaType == "application/vnd.dev.sigstore.bundle.v0.3+json"
    and (.verificationMaterial.tlogEntries[0].inclusionProof.checkpoint.envelope | split("\n") | length == 6)
  then . else error end'
is_one_form() { jq -acj "$ONE_FORM" "$1" 2>/dev/null | cmp -s - "$1"; }

extension() { # the value of extension $2 of PEM certificate $1, in hex
  openssl asn1parse -in "$1" | grep -A2 -F ":$2" | grep -m1 'OCTET STRING' | sed 's/.*\[HEX DUMP\]://; s/.*OCTET STRING *://'
}
# Text of a Fulcio extension. Arc 1 holds raw text, which openssl shows as such; the others a DER UTF8String.
fulcio() {
  local value
  value=$(extension "$1" "$ID_OF_ISSUER.$2")
  if [[ $2 == 1 ]]; then printf %s "$value" && return; fi
  value=$(printf %s "$value" | unhex | openssl asn1parse -inform DER 2>/dev/null) || return 1
  printf %s "${value#*UTF8STRING*:}"
}
is_by_issuer() { # the identity provider stands in one extension or in two that agree
  local old new
  old=$(fulcio "$1" 1) || old=
  new=$(fulcio "$1" 8) || new=
  [[ ${old:-$new} == "$ISSUER" && ${new:-$old} == "$ISSUER" ]]
}
is_issued() { # chain of leaf $1 by issuing certificate $2 and root $3, without regard to time
  openssl verify -x509_strict -no_check_time -purpose any -CAfile "$3" -no-CApath -no-CAstore -untrusted "$2" "$1" &&
    openssl verify -x509_strict -no_check_time -purpose any -partial_chain -trusted "$2" "$1"
}
was_valid() { # the same at POSIX second $4
  openssl verify -x509_strict -attime "$4" -purpose any -CAfile "$3" -no-CApath -no-CAstore -untrusted "$2" "$1"
}
find_issuer() { # sets AUTHORITY to the number of the authority that issued $1
  local each
  for each in "$W"/authorities/*.issuing.pem; do
    AUTHORITY=${each%.issuing.pem}
    if is_issued "$1" "$each" "$AUTHORITY.root.pem"; then return 0; fi
  done
  return 1
}
is_leaf() {
  local text
  text=$(openssl x509 -in "$1" -noout -ext keyUsage,extendedKeyUsage,basicConstraints 2>/dev/null)
  [[ $text == *'Digital Signature'* && $text == *'Code Signing'* && $text != *'CA:TRUE'* ]]
}
identity_of() { # the one subject alternative name of $1
  local text
  text=$(openssl x509 -in "$1" -noout -ext subjectAltName 2>/dev/null | sed '1d; s/^ *//')
  [[ $text =~ ^(URI|email):([^,]+)$ ]] && printf %s "${BASH_REMATCH[2]}"
}
is_stamped() { # token $1 over file $2; sets STAMPER. openssl checks the chain; the signer must be a listed one
  local each
  openssl ts -reply -in "$1" -token_out 2>/dev/null | openssl pkcs7 -inform DER -print_certs -out "$W/embedded.pem" || true
  for each in "$W"/authorities/*.tsa.pem; do
    STAMPER=${each%.tsa.pem}
    if openssl ts -verify -no_check_time -in "$1" -data "$2" -CAfile "$STAMPER.tsaroot.pem" -untrusted "$each" &&
      { [[ ! -s $W/embedded.pem ]] || [[ $(certificate_digest "$W/embedded.pem") == "$(certificate_digest "$each")" ]]; }; then
      return 0
    fi
  done
  return 1
}
tlv() { # DER in hex: tag $1 around the content $2
  local size=$((${#2} / 2))
  if ((size < 128)); then printf '%s%02x%s' "$1" "$size" "$2" && return; fi
  if ((size < 256)); then printf '%s81%02x%s' "$1" "$size" "$2" && return; fi
  printf '%s82%04x%s' "$1" "$size" "$2"
}
der_at() { # value number $3 at depth $2 of DER file $1, in hex with its tag
  local place
  place=$(openssl asn1parse -inform DER -in "$1" | grep -E "^ *[0-9]+:d= *$2 " | sed -n "$3p") || return 1
  [[ $place =~ ^\ *([0-9]+):d=\ *[0-9]+\ +hl=\ *([0-9]+)\ l=\ *([0-9]+) ]] || return 1
  hex -j "${BASH_REMATCH[1]}" -N $((BASH_REMATCH[2] + BASH_REMATCH[3])) "$1"
}
# Token $1 by STAMPER is as sites write it: no signature covers its versions, algorithms and certificates.
is_written_token() {
  local sha256=300d06096086480165030402010500 timestamp=060b2a864886f70d0109100104 info authority name hash signer signed
  openssl ts -reply -in "$1" -token_out 2>/dev/null >"$W/token.cms" || return 1
  openssl cms -verify -nosigs -noverify -inform DER -in "$W/token.cms" -out "$W/info" 2>/dev/null || return 1
  openssl x509 -in "$STAMPER.tsa.pem" -outform DER -out "$W/tsa.der" || return 1
  info=$(hex "$W/info") authority=$(hex "$W/tsa.der")
  name=$(tlv 30 "$(der_at "$W/tsa.der" 2 4)$(der_at "$W/tsa.der" 2 2)")
  hash=$(tlv 30 "$(tlv 30 "$(tlv 30 "$(tlv 04 "$(sha "$W/tsa.der")")")")")
  signed=$(tlv 30 "06092a864886f70d010903$(tlv 31 "$timestamp")")
  signed+=$(tlv 30 "06092a864886f70d010904$(tlv 31 "$(tlv 04 "$(sha "$W/info")")")")
  signed+=$(tlv 30 "060b2a864886f70d010910022f$(tlv 31 "$hash")")
  signer="020101$name$sha256$(tlv a0 "$signed")300a06082a8648ce3d040302$(der_at "$1" 6 '$')"
  signed="020103$(tlv 31 "$sha256")$(tlv 30 "$timestamp$(tlv a0 "$(tlv 04 "$info")")")$(tlv a0 "$authority")"
  signed=$(tlv 30 "$signed$(tlv 31 "$(tlv 30 "$signer")")")
  [[ $(hex "$1") == "$(tlv 30 "$(tlv 30 020100)$(tlv 30 "06092a864886f70d010702$(tlv a0 "$signed")")")" ]]
}
is_by_leaf() { # message signatures may be judged by digest alone
  if [[ -z $ARTIFACT_DIGEST || -s $W/payload ]]; then is_signed "$W/leaf.pub" "$W/sig" "$W/signed" && return; fi
  printf %s "$ARTIFACT_DIGEST" | unhex >"$W/digest"
  openssl pkeyutl -verify -pubin -inkey "$W/leaf.pub" -in "$W/digest" -sigfile "$W/sig"
}

check_bundle() {
  local kind filter digest hashes=() each values
  TIMES=()
  step format
  must "it is not JSON in its strict form" is_json "$BUNDLE"
  must "it has not the form of a bundle" says "$BUNDLE" "$BUNDLE_FORM"
  mapfile -t values < <(jq -r "$BUNDLE_FIELDS" "$BUNDLE")
  must "a text has a line break" [ "${#values[@]}" = 16 ]
  local certificate=${values[0]} body=${values[1]} sig=${values[3]} payload=${values[4]} log_id=${values[6]}
  local promise=${values[8]} token=${values[9]} proof=("${values[@]:10:4}") note=${values[14]}
  kind=${values[2]} PAYLOAD_TYPE=${values[5]} INDEX=${values[7]} BUNDLE_TIME=${values[15]}
  must "the certificate is not base64" decode "$certificate" "$W/leaf.der"
  must "the entry is not base64" decode "$body" "$W/body"
  must "the signature is not base64" decode "$sig" "$W/sig"
  must "the payload is not base64" decode "$payload" "$W/payload"
  if [[ -n $PAYLOAD_TYPE ]]; then
    { printf 'DSSEv1 %d %s %d ' "${#PAYLOAD_TYPE}" "$PAYLOAD_TYPE" "$(stat -c %s "$W/payload")" && cat "$W/payload"; } >"$W/signed"
  else
    must "not of the pack's kind" [ "$IN_PACK" = no ]
    if [[ -f $ARTIFACT ]]; then cp "$ARTIFACT" "$W/signed"; fi
  fi
  if [[ $IN_PACK == yes ]]; then
    must "not of the pack's kind" [ "$kind" = dsse/0.0.1 ]
    must "not in the one form in which sites write bundles" is_one_form "$BUNDLE"
  fi

  step certificate
  must "the leaf is not a certificate" der_to_pem "$W/leaf.der" "$W/leaf.pem"
  must "the leaf is not by an authority of the trust config" find_issuer "$W/leaf.pem"
  must "the leaf is not for signing code" is_leaf "$W/leaf.pem"
  openssl x509 -in "$W/leaf.pem" -noout -pubkey >"$W/leaf.pub"

  step sct
  openssl x509 -in "$W/leaf.pem" -noout -ext ct_precert_scts >"$W/scts" 2>/dev/null
  must "expected exactly one certificate timestamp" [ "$(grep -c 'Log ID' "$W/scts")" = 1 ]
  CT_ID=$(sed -n '/Log ID/,/Timestamp/p' "$W/scts" | sed '$d; s/Log ID *://' | tr -d ' :\n' | tr A-F a-f)

  step identity
  must "the leaf has not one subject alternative name" identity_of "$W/leaf.pem"
  SIGNER=$(identity_of "$W/leaf.pem")
  if [[ $IN_PACK == no ]]; then must "expected $IDENTITY, got $SIGNER" [ "$SIGNER" = "$IDENTITY" ]; fi
  must "the issuer is not $ISSUER" is_by_issuer "$W/leaf.pem"

  step signature
  must "not by the key of the certificate" is_by_leaf

  step promise
  must "the log's id is not base64" decode "$log_id" "$W/id"
  if [[ $IN_PACK == yes ]]; then must "of an unknown log" find_log "$(hex "$W/id")"; fi
  must "of another log" [ "$(hex "$W/id")" = "$LOG_ID" ]
  if [[ -n $promise ]]; then
    TIMES+=("$BUNDLE_TIME")
    must "the promise is not base64" decode "$promise" "$W/promise"
    printf '{"body":"%s","integratedTime":%s,"logID":"%s","logIndex":%s}' \
      "$body" "${TIMES[0]}" "$LOG_ID" "$INDEX" >"$W/promised"
    must "the signed entry timestamp is not by the log" is_signed "$LOG_PEM" "$W/promise" "$W/promised"
  else
    must "no signed entry timestamp" [ "$IN_PACK" = no ]
  fi

  step timestamp
  if [[ -n $token ]]; then
    must "the token is not base64" decode "$token" "$W/token"
    must "the token has a tail" is_one_value "$W/token"
    must "the token does not verify" is_stamped "$W/token" "$W/sig"
    if [[ $IN_PACK == yes ]]; then must "not in the form in which sites write tokens" is_written_token "$W/token"; fi
    each=$(openssl ts -reply -in "$W/token" -text 2>/dev/null | sed -n 's/^Time stamp: //p')
    TIMES+=("$(date -ud "$each" +%s)")
  else
    must "expected one token" [ "$IN_PACK" = no ]
  fi

  step time
  must "nobody signed a time" [ "${#TIMES[@]}" -gt 0 ]
  if [[ $IN_PACK == yes ]]; then must "the times differ" [ "${TIMES[0]}" = "${TIMES[1]}" ]; fi
  for each in "${TIMES[@]}"; do
    must "the certificate was not valid at $(show "$each")" \
      was_valid "$W/leaf.pem" "$AUTHORITY.issuing.pem" "$AUTHORITY.root.pem" "$each"
    if [[ -n ${STAMPER-} ]]; then
      must "the timestamp authority was not valid then" was_valid "$STAMPER.tsa.pem" "$STAMPER.tsa.pem" "$STAMPER.tsaroot.pem" "$each"
    fi
  done

  step inclusion
  must "no inclusion proof" [ -n "${proof[0]}" ]
  must "the checkpoint is not text" decode "$note" "$W/bundle.note"
  must "the checkpoint has another form" read_note "$W/bundle.note"
  must "expected the log $ORIGIN, got $NOTE_ORIGIN" [ "$NOTE_ORIGIN" = "$ORIGIN" ]
  must "not one line of the log" note_line "$ORIGIN" "${LOG_ID:0:8}" "$W/note.sig"
  must "the checkpoint is not by the log" is_signed "$LOG_PEM" "$W/note.sig" "$W/text"
  must "the root hash is not base64" decode "${proof[0]}" "$W/proof.root"
  must "proof and checkpoint are of two trees" [ "${proof[1]} $(hex "$W/proof.root")" = "$NOTE_SIZE $NOTE_ROOT" ]
  must "entry and proof have two indexes" [ "${proof[2]}" = "$INDEX" ]
  for each in ${proof[3]}; do
    must "the proof is not base64" decode "$each" "$W/hash"
    hashes+=("$(hex "$W/hash")")
  done
  { printf '\0' && cat "$W/body"; } >"$W/leaf.entry"
  LEAF=$(sha "$W/leaf.entry")
  must "the proof does not lead to the signed root" [ "$(proof_root "$LEAF" "$INDEX" "$NOTE_SIZE" "${hashes[@]}")" = "$NOTE_ROOT" ]

  if [[ $IN_PACK == yes ]]; then
    step prefix
    must "its tree is greater than the pack's" [ "$NOTE_SIZE" -le "$SIZE" ]
    must "its tree is not a prefix of the pack's" [ "$(tree_root "$NOTE_SIZE")" = "$NOTE_ROOT" ]
    must "the pack's entry $INDEX is another one" [ "${NODE[0.$INDEX]}" = "$LEAF" ]
  fi

  step entry
  must "the body is not JSON" is_json "$W/body"
  digest=$ARTIFACT_DIGEST
  if [[ -s $W/payload ]]; then digest=$(sha "$W/signed"); fi
  case $kind in
    dsse/0.0.1)
      digest=$(sha "$W/payload")
      filter='.spec | .payloadHash == {"algorithm": "sha256", "value": $digest} and (.signatures | length == 1)
        and .signatures[0].signature == $sig and .signatures[0].verifier == $pem' ;;
    hashedrekord/0.0.1)
      filter='.spec | .data.hash == {"algorithm": "sha256", "value": $digest} and .signature.content == $sig
        and .signature.publicKey.content == $pem' ;;
    hashedrekord/0.0.2)
      filter='.spec.hashedRekordV002 | .data == {"algorithm": "SHA2_256", "digest": $digest64}
        and .signature.content == $sig and .signature.verifier.x509Certificate.rawBytes == $der' ;;
    *) refuse "entries of kind $kind are not known" ;;
  esac
  must "the entry is about something else" says "$W/body" "(.kind + \"/\" + .apiVersion == \$kind) and ($filter)" \
    --arg kind "$kind" --arg sig "$(base64 -w0 "$W/sig")" \
    --arg digest "$digest" --arg digest64 "$(printf %s "$digest" | unhex | base64 -w0)" \
    --arg pem "$(base64 -w0 "$W/leaf.pem")" --arg der "$(base64 -w0 "$W/leaf.der")"
}

STATEMENT_FORM="$OBJECT"'only(["_type", "subject", "predicateType", "predicate"])
and ._type == "https://in-toto.io/Statement/v1" and (.predicate | type == "object")
and (.subject | length > 0 and (map(.name) | length == (unique | length))
  and all(.[]; only(["name", "digest"]) and (.digest | only(["sha256"])) and (.digest.sha256 | test("^[0-9a-f]{64}$"))))'

verify_bundle() {
  local root='' issuing='' tsa='' log=''
  ORIGIN='' IDENTITY='' ISSUER='' ARTIFACT_DIGEST='' IN_PACK=no
  while (($# > 2)); do
    case $1 in
      --root) root=$2 ;; --issuing) issuing=$2 ;; --tsa) tsa=$2 ;; --log-key) log=$2 ;;
      --origin) ORIGIN=$2 ;; --identity) IDENTITY=$2 ;; --issuer) ISSUER=$2 ;;
      *) usage ;;
    esac
    shift 2
  done
  [[ $# == 2 && -f $1 && -f $root && -f $issuing && -f $tsa && -f $log && -n $ORIGIN && -n $IDENTITY && -n $ISSUER ]] || usage
  BUNDLE=$1 ARTIFACT=$2
  if is_digest "$ARTIFACT"; then
    ARTIFACT_DIGEST=${ARTIFACT#sha256:}
  else
    [[ -f $ARTIFACT ]] || usage
    ARTIFACT_DIGEST=$(sha "$ARTIFACT")
  fi
  mkdir "$W/authorities"
  cp "$root" "$W/authorities/0.root.pem" && cp "$root" "$W/authorities/0.tsaroot.pem"
  cp "$issuing" "$W/authorities/0.issuing.pem" && cp "$tsa" "$W/authorities/0.tsa.pem"
  LOG_PEM=$log
  # C2SP: Ed25519 keys are named by origin and key, ECDSA keys by the digest of their SPKI.
  openssl pkey -pubin -in "$log" -outform DER -out "$W/log.der" 2>/dev/null || usage
  if [[ $(openssl pkey -pubin -in "$log" -noout -text) == ED25519* ]]; then
    { printf '%s\n\1' "$ORIGIN" && tail -c 32 "$W/log.der"; } >"$W/log.name"
    LOG_ID=$(sha "$W/log.name")
  else
    LOG_ID=$(sha "$W/log.der")
  fi
  check_bundle
  if [[ -s $W/payload ]]; then
    step statement
    must "not an in-toto statement" says "$W/payload" '._type | startswith("https://in-toto.io/Statement/v")'
    step subject
    must "not about this artifact" says "$W/payload" 'any(.subject[]; .digest.sha256 == $hash)' --arg hash "$ARTIFACT_DIGEST"
  fi
  ESTABLISHED+=("signed by $SIGNER, vouched for by $ISSUER" "signed at $(show "${TIMES[0]}")"
    "entry $INDEX of $ORIGIN, in a tree of $NOTE_SIZE")
  NOT_ESTABLISHED+=("the signature of the certificate timestamp" "revocation" "witness quorum" "key windows")
  conclude
}

# ---- the pack

# Names, kinds and sizes of the files; a tar is unpacked only after its list was judged.
are_plain_names() { # one name a line, folders included
  not grep -qvE '^[A-Za-z0-9._/-]+$' "$1" && not grep -qE '\.\.|^/|/$|//|(^|/)\./|(^|/)\.$' "$1" &&
    [[ -z $(tr A-Z a-z <"$1" | sort | uniq -d) ]]
}
open_pack() {
  step pack
  if [[ -d $1 ]]; then
    P=$1
  else
    must "not a tar file" tar -tf "$1"
    tar -tvf "$1" >"$W/list"
    must "a link or a special file" not grep -qv '^[-d]' "$W/list"
    tar -tf "$1" --quoting-style=escape | sed 's,/$,,' >"$W/names"
    must "a name is not allowed or stands twice" are_plain_names "$W/names"
    mkdir "$W/pack"
    must "the tar cannot be unpacked" tar -xf "$1" -C "$W/pack" --no-same-owner --no-same-permissions
    P=$W/pack
  fi
  must "a link or a special file" [ -z "$(find "$P" -mindepth 1 ! -type f ! -type d -print -quit)" ]
  find "$P" -mindepth 1 -printf '%P\0' | tr '\n\0' '\001\n' >"$W/names"
  must "a name is not allowed, or two differ only in case" are_plain_names "$W/names"
  must "more than 200000 files" [ "$(find "$P" -type f -printf 'x\n' | wc -l)" -le 200000 ]
  must "a file is too large" [ -z "$(find "$P/tuf/metadata" "$P/trust-config.json" "$P/trust-policy.json" "$P/tlog-policy" \
    -size +4194304c -print -quit 2>/dev/null)$(find "$P/log/checkpoint" -size +65536c -print -quit 2>/dev/null)$(
      find "$P/bundles" -size +33554432c -print -quit 2>/dev/null)" ]
  local name
  for name in tuf/metadata/1.root.json tuf/metadata/timestamp.json trust-config.json trust-policy.json tlog-policy log/checkpoint; do
    must "$name is missing" [ -f "$P/$name" ]
  done
  [[ ! -d $P/bundles ]] || must "a bundle has another name" \
    not grep -qvE '^[0-9a-f]{64}\.sigstore\.json$' <(find "$P/bundles" -mindepth 1 -printf '%P\n')
}

# OLPC canonical JSON, which TUF signs.
CANONICAL='def quoted: "\"" + (split("\\") | join("\\\\") | split("\"") | join("\\\"")) + "\"";
def canonical: if type == "object" then . as $all | "{" + ([keys[] | quoted + ":" + (. as $name | $all[$name] | canonical)] | join(",")) + "}"
elif type == "array" then "[" + (map(canonical) | join(",")) + "]" elif type == "string" then quoted else tojson end;'
is_metadata() { # file $1 of role $2
  is_json "$1" && says "$1" "$OBJECT"'only(["signed", "signatures"]) and .signed._type == $role
    and (.signed.spec_version | startswith("1.")) and (.signed.version | type == "number" and . == floor)
    and (.signatures | (map(.keyid) | length == (unique | length)))' --arg role "$2"
}
# Whether file $1 has the signatures that root $3 asks for role $2. ML-DSA signatures count unjudged.
is_signed_by() {
  local file=$1 role=$2 root=$3 key kind public sig classical=0 unjudged=0 threshold minimum seen=' '
  threshold=$(jq -er --arg role "$role" '.signed.roles[$role].threshold | numbers' "$root") || return 1
  jq -j "$CANONICAL .signed | canonical" "$file" >"$W/signed.json"
  while IFS=$'\t' read -r kind public sig; do
    printf %s "$public" | openssl dgst -sha256 -r | cut -c1-64 >"$W/keyname"
    [[ $seen != *" $(cat "$W/keyname") "* && $sig =~ ^([0-9a-f]{2})+$ ]] || continue
    case $kind in
      ml-dsa*) unjudged=$((unjudged + 1)) && seen+="$(cat "$W/keyname") " && continue ;;
      ed25519/ed25519) ed25519_pem "$(printf %s "$public" | base64 -d)" "$W/key.pem" || return 1 ;;
      ecdsa*/ecdsa-sha2-nistp256 | ecdsa*/ecdsa-sha2-nistp384) printf %s "$public" | base64 -d >"$W/key.pem" ;;
      *) return 1 ;;
    esac
    printf %s "$sig" | unhex >"$W/sig"
    if is_signed "$W/key.pem" "$W/sig" "$W/signed.json" >/dev/null 2>&1; then
      classical=$((classical + 1)) seen+="$(cat "$W/keyname") "
    fi
  done < <(jq -r --arg role "$role" --slurpfile root "$root" '$root[0].signed as $root | .signatures[]
    | select(.keyid as $id | $root.roles[$role].keyids | index([$id])) | .sig as $sig | $root.keys[.keyid]
    | [.keytype + "/" + .scheme, (.keyval.public | @base64), $sig] | @tsv' "$file")
  minimum=2
  [[ $role == root ]] || ((threshold >= 2)) || minimum=$threshold
  ((threshold > 0 && classical >= minimum && classical + unjudged >= threshold)) || return 1
  ((unjudged == 0)) || printf '%s\n' "ML-DSA signature of the $role" >>"$W/unjudged"
}
follow() { # metadata of role $2, named by file $1, into FOLLOWED
  local version hash
  version=$(jq -er --arg name "$2.json" '.signed.meta[$name].version | numbers' "$1") || return 1
  FOLLOWED=$P/tuf/metadata/$version.$2.json
  hash=$(jq -r --arg name "$2.json" '.signed.meta[$name].hashes.sha256 // ""' "$1")
  [[ -f $FOLLOWED ]] && is_metadata "$FOLLOWED" "$2" && is_signed_by "$FOLLOWED" "$2" "$ROOT_JSON" &&
    [[ $(jq .signed.version "$FOLLOWED") == "$version" && (-z $hash || $(sha "$FOLLOWED") == "$hash") ]]
}
check_repository() {
  local number
  : >"$W/unjudged"
  step root
  ROOT_JSON=$P/tuf/metadata/1.root.json
  must "the first root is not $1" [ "sha256:$(sha "$ROOT_JSON")" = "$1" ]
  must "1.root.json is not metadata" is_metadata "$ROOT_JSON" root
  must "1.root.json is not signed by enough keys" is_signed_by "$ROOT_JSON" root "$ROOT_JSON"
  for ((number = 2; number < 1024; number++)); do
    [[ -f $P/tuf/metadata/$number.root.json ]] || break
    must "$number.root.json is not metadata" is_metadata "$P/tuf/metadata/$number.root.json" root
    must "$number.root.json is of another version" [ "$(jq .signed.version "$P/tuf/metadata/$number.root.json")" = "$number" ]
    must "$number.root.json is not signed by the root before" is_signed_by "$P/tuf/metadata/$number.root.json" root "$ROOT_JSON"
    ROOT_JSON=$P/tuf/metadata/$number.root.json
    must "$number.root.json is not signed by its own keys" is_signed_by "$ROOT_JSON" root "$ROOT_JSON"
  done
  ESTABLISHED+=("root $((number - 1)) of the repository, from the pinned $1")
  step metadata
  TIMESTAMP_JSON=$P/tuf/metadata/timestamp.json
  must "the timestamp is not metadata" is_metadata "$TIMESTAMP_JSON" timestamp
  must "the timestamp is not signed" is_signed_by "$TIMESTAMP_JSON" timestamp "$ROOT_JSON"
  must "the snapshot is not the one that the timestamp names" follow "$TIMESTAMP_JSON" snapshot
  SNAPSHOT_JSON=$FOLLOWED
  must "the targets are not those that the snapshot names" follow "$SNAPSHOT_JSON" targets
  TARGETS_JSON=$FOLLOWED
  while read -r number; do NOT_ESTABLISHED+=("$number"); done < <(sort -u "$W/unjudged")
  step targets
  local place
  for place in trust-config.json trust-policy.json tlog-policy $(cd "$P" && find verifiers -type f 2>/dev/null | sort); do
    must "$place is not the target of that name" says "$TARGETS_JSON" '.signed.targets | (.[$place] // .[$short])
      | .length == $size and .hashes.sha256 == $hash' --arg place "$place" --arg short "${place##*/}" \
      --argjson size "$(stat -c %s "$P/$place")" --arg hash "$(sha "$P/$place")"
  done
}

POLICY_FORM="$OBJECT"'only(["approvals", "format", "issuer", "origin", "signers", "site", "version", "windows"])
and .format == "https://appliance.internal/formats/trust-policy/v1" and .version >= 1
and all(.signers[]; only(["identities", "predicate_type"]))
and all(.approvals[]; only(["approvers", "scope", "threshold"]) and .threshold >= 1)
and all(.windows[]; only(["first_index", "from", "id", "last_index", "until", "use"]) and .first_index >= 0)
and (.windows | map([.use, .id]) | length == (unique | length))'

verifier_key() { # C2SP verifier key $1 of type $2 (hex); prints name, key hash, and 32 bytes in hex
  local name=${1%%+*} rest=${1#*+} raw
  printf %s "${rest#*+}" >"$W/vkey64"
  unbase64 "$W/vkey64" "$W/vkey" || return 1
  raw=$(hex "$W/vkey")
  [[ $raw == "$2"* ]] || return 1
  { printf '%s\n' "$name" && cat "$W/vkey"; } >"$W/vkey.name"
  [[ $(sha "$W/vkey.name" | cut -c1-8) == "${rest%%+*}" ]] && printf '%s %s %s\n' "$name" "${rest%%+*}" "${raw:2}"
}
declare -A WITNESS=() GROUP=() COSIGNED=()
read_tlog_policy() {
  local words line log
  QUORUM='' LOG=''
  while read -ra words || ((${#words[@]})); do
    case ${words[0]-} in
      '' | '#'*) ;;
      log) [[ -z $LOG ]] && LOG=$(verifier_key "${words[1]}" 01) || return 1 ;;
      witness)
        [[ ${words[1]} != none && -z ${WITNESS[${words[1]}]-}${GROUP[${words[1]}]-} ]] || return 1
        if line=$(verifier_key "${words[2]}" 04); then WITNESS[${words[1]}]=$line; else
          WITNESS[${words[1]}]=unjudged && printf '%s\n' "ML-DSA cosignature of witness ${words[1]}" >>"$W/witnesses"
        fi ;;
      group)
        [[ ${words[1]} != none && -z ${WITNESS[${words[1]}]-}${GROUP[${words[1]}]-} && ${#words[@]} -gt 3 ]] || return 1
        for line in "${words[@]:3}"; do [[ -n ${WITNESS[$line]-}${GROUP[$line]-} ]] || return 1; done
        GROUP[${words[1]}]="${words[*]:2}" ;;
      quorum)
        [[ -z $QUORUM && (${words[1]} == none || -n ${WITNESS[${words[1]}]-}${GROUP[${words[1]}]-}) ]] || return 1
        QUORUM=${words[1]} ;;
      *) return 1 ;;
    esac
  done <"$1"
  [[ -n $LOG && -n $QUORUM ]] || return 1
  for log in "${!WITNESS[@]}"; do echo "${WITNESS[$log]##* }"; done >"$W/witness-keys"
  [[ -z $(grep -v unjudged "$W/witness-keys" | sort | uniq -d) ]]
}
is_met() { # whether name $1 is met by the witnesses that cosigned at $2 or later
  local name=$1 since=$2 k count=0 each members
  [[ $name != none ]] || return 0
  if [[ -n ${WITNESS[$name]-} ]]; then [[ -n ${COSIGNED[$name]-} ]] && ((COSIGNED[$name] >= since)) && return 0 || return 1; fi
  read -ra members <<<"${GROUP[$name]}"
  k=${members[0]}
  case $k in any) k=1 ;; all) k=$((${#members[@]} - 1)) ;; esac
  for each in "${members[@]:1}"; do if is_met "$each" "$since"; then count=$((count + 1)); fi; done
  ((k >= 1 && k <= ${#members[@]} - 1 && count >= k))
}
read_cosignatures() { # of the note that was read last
  local name key_name key_hash raw status seconds
  for name in "${!WITNESS[@]}"; do
    [[ ${WITNESS[$name]} != unjudged ]] || continue
    read -r key_name key_hash raw <<<"${WITNESS[$name]}"
    status=0
    note_line "$key_name" "$key_hash" "$W/cosigned" || status=$?
    ((status != 1)) || return 1
    ((status == 0)) || continue
    [[ $(stat -c %s "$W/cosigned") == 72 ]] || return 1
    seconds=$((16#$(head -c 8 "$W/cosigned" | hex)))
    tail -c 64 "$W/cosigned" >"$W/cosignature"
    { printf 'cosignature/v1\ntime %d\n' "$seconds" && cat "$W/text"; } >"$W/cosigned.text"
    ed25519_pem "$raw" "$W/witness.pem" && is_signed "$W/witness.pem" "$W/cosignature" "$W/cosigned.text" || return 1
    COSIGNED[$name]=$seconds
  done
}
newest_time() { # sets NEWEST; empty without any cosignature
  local each
  NEWEST=''
  for each in $(printf '%s\n' "${COSIGNED[@]}" | sort -rn); do
    if is_met "$QUORUM" "$each"; then NEWEST=$each && return 0; fi
  done
  [[ $QUORUM == none ]]
}

tile() { # name of tile $2 of level $1 with width $3
  local name rest=$2
  name=$(printf %03d $((rest % 1000)))
  while ((rest = rest / 1000)); do name=$(printf 'x%03d' $((rest % 1000)))/$name; done
  printf 'log/tile/%s/%s' "$1" "$name"
  (($3 == 256)) || printf '.p/%d' "$3"
}
# Recomputes the tree. Entries go to files $W/entries/<index>, leaf hashes and nodes to NODE.
replay() {
  local number width count left offset length bytes name row level index hashes
  mkdir -p "$W/entries" "$W/hashing"
  for ((number = 0; number * 256 < SIZE; number++)); do
    width=$((SIZE - number * 256 < 256 ? SIZE - number * 256 : 256))
    name=$P/$(tile entries "$number" "$width")
    [[ -f $name ]] || return 1
    bytes=$(od -An -v -tx1 "$name" | tr -d '\n' | sed 's/ /\\x/g') # four characters a byte
    offset=0
    for ((count = 0; count < width; count++)); do
      length=${bytes:offset:8}
      [[ ${#length} == 8 ]] || return 1
      length=$((16#${length:2:2}${length:6:2})) offset=$((offset + 8))
      ((offset + 4 * length <= ${#bytes})) || return 1
      printf '%b' "${bytes:offset:4*length}" >"$W/entries/$((number * 256 + count))"
      printf '%b' "\\x00${bytes:offset:4*length}" >"$W/hashing/$count"
      offset=$((offset + 4 * length))
    done
    ((offset == ${#bytes})) || return 1
    count=0
    while read -r bytes; do
      NODE[0.$((number * 256 + count))]=$bytes
      count=$((count + 1))
    done < <(hash_many "$W/hashing/%d" 0 $((width - 1)))
    [[ ! -t 2 ]] || printf '\r%d of %d entries' $((number * 256 + width)) "$SIZE" >&2
  done
  [[ ! -t 2 ]] || echo >&2
  for ((level = 1, row = SIZE / 2; row > 0; level++, row = row / 2)); do
    for ((index = 0; index < row; index += 256)); do
      width=$((row - index < 256 ? row - index : 256))
      count=0
      while read -r bytes; do
        printf '%b' "$bytes" >"$W/hashing/$count"
        count=$((count + 1))
      done < <(for ((left = 2 * index; left < 2 * (index + width); left += 2)); do
        echo "01${NODE[$((level - 1)).$left]}${NODE[$((level - 1)).$((left + 1))]}"
      done | sed 's/../\\x&/g')
      count=0
      while read -r bytes; do
        NODE[$level.$((index + count))]=$bytes
        count=$((count + 1))
      done < <(hash_many "$W/hashing/%d" 0 $((width - 1)))
    done
  done
  [[ $(tree_root "$SIZE") == "$ROOT" ]] || return 1
  for ((level = 0, row = SIZE; row > 0; level++, row = row / 256)); do
    for ((number = 0; number * 256 < row; number++)); do
      width=$((row - number * 256 < 256 ? row - number * 256 : 256)) hashes=
      for ((index = number * 256; index < number * 256 + width; index++)); do hashes+=${NODE[$((8 * level)).$index]}; done
      name=$P/$(tile "$level" "$number" "$width")
      [[ -f $name && $(hex "$name") == "$hashes" ]] || return 1
    done
  done
}

declare -A ENROLLED=() ISSUED=() REVOKED=() STAGE=()
# Of a canonical entry: its members' names, and the values that count, one a line.
ENTRY_FIELDS='., (.[0] | select(type == "object") | (keys | join(" ")), (.kind, .role, .identity, .key_id, .public,
  .signature, .possession, .certificate, .target, .id, .from_index, .statement, .package, .to | . // ""))'
ENTRY_MEMBERS=$'root-key key_id kind public signature time
role-key key_id kind public role time
enrollment identity key_id kind public role signature time
certificate certificate key_id kind possession role time
revocation from_index id kind reason statement target time'
read_entry() { # sets the variables below; KIND is empty for an entry that is not canonical
  local values
  KIND='' WELL_FORMED=no
  jq -rcSs "$ENTRY_FIELDS" "$1" >"$W/fields" 2>/dev/null || return 0
  head -n 1 "$W/fields" >"$W/again"
  is_same_json "$1" || return 0
  mapfile -t values < <(tail -n +2 "$W/fields")
  ((${#values[@]} == 15)) || return 0
  KIND=${values[1]} ROLE=${values[2]} WHO=${values[3]} KEY_ID=${values[4]} PUBLIC=${values[5]} SIGNATURE=${values[6]}
  POSSESSION=${values[7]} CERTIFICATE=${values[8]} TARGET=${values[9]} ID=${values[10]} FROM=${values[11]}
  STATEMENT=${values[12]} PACKAGE=${values[13]} TO=${values[14]}
  [[ $'\n'$ENTRY_MEMBERS$'\n' != *$'\n'"$KIND ${values[0]}"$'\n'* ]] || WELL_FORMED=yes
}
is_by_root_key() { # entry $1
  local each
  decode "$SIGNATURE" "$W/enrolled.sig" || return 1
  jq -cSj 'del(.signature)' "$1" >"$W/enrolled"
  for each in "$W"/rootkeys/*.pem; do
    if is_signed "$each" "$W/enrolled.sig" "$W/enrolled" >/dev/null 2>&1; then return 0; fi
  done
  return 1
}
key_of_entry() { # as PEM file $1
  decode "$PUBLIC" "$W/public.der" && [[ sha256:$(sha "$W/public.der") == "$KEY_ID" ]] && spki_to_pem "$W/public.der" "$1"
}
is_right_certificate() {
  decode "$CERTIFICATE" "$W/issued.der" && der_to_pem "$W/issued.der" "$W/issued.pem" || return 1
  find_issuer "$W/issued.pem" || return 1
  [[ ${ENROLLED[$KEY_ID]-} == "$ROLE $(identity_of "$W/issued.pem")" && $(fulcio "$W/issued.pem" 24) == "$KEY_ID" ]] || return 1
  openssl x509 -in "$W/issued.pem" -noout -pubkey | openssl pkey -pubin -outform DER -out "$W/issued.spki"
  decode "$POSSESSION" "$W/possession" || return 1
  is_signed "$W/keys/${KEY_ID#sha256:}.pem" "$W/possession" "$W/issued.spki" || return 1
  ISSUED[$(sha "$W/issued.der")]=yes
}
is_right_revocation() {
  [[ $WELL_FORMED == yes ]] || return 1
  [[ $TARGET =~ ^(identity|role-key|issuing|timestamp|ct|statement)$ ]] && is_number "$FROM" && is_digest "$STATEMENT" || return 1
  [[ $TARGET != statement || $FROM == 0 ]] || return 1
  if [[ -z ${REVOKED["$TARGET $ID"]-} ]] || ((FROM < REVOKED["$TARGET $ID"])); then REVOKED["$TARGET $ID"]=$FROM; fi
}
read_entries() { # sets BROKEN to the first entry that breaks the rules of step `issuance`
  local index file head=yes next=0
  BROKEN=''
  mkdir "$W/rootkeys" "$W/keys"
  find "$W/entries" -type f -exec grep -lE '"kind":"(root-key|role-key|enrollment|certificate|revocation|model-stage)"' {} + |
    sed 's,.*/,,' | sort -n >"$W/marked"
  while read -r index; do
    read_entry "$W/entries/$index"
    # The head is the leading run of keys: it ends where one number is missing, or at the first entry of another kind.
    [[ $index == "$next" && $WELL_FORMED == yes && ($KIND == root-key || $KIND == role-key) ]] || head=no
    next=$((index + 1)) file=$W/entries/$index
    case $KIND in
      root-key)
        if [[ $WELL_FORMED == yes ]] && { [[ $head == yes ]] || is_by_root_key "$file"; }; then
          key_of_entry "$W/rootkeys/$index.pem" || rm -f "$W/rootkeys/$index.pem"
        fi ;;
      role-key | enrollment)
        if [[ $KIND == role-key ]]; then
          [[ $head == yes ]] || continue
          WHO=https://$SITE.appliance.internal/roles/$ROLE
        else
          is_by_root_key "$file" || continue
        fi
        if [[ $WELL_FORMED == yes && -n $KEY_ID && -z ${ENROLLED[$KEY_ID]-} ]] && is_digest "$KEY_ID" &&
          key_of_entry "$W/keys/${KEY_ID#sha256:}.pem"; then
          ENROLLED[$KEY_ID]="$ROLE $WHO"
        fi ;;
      certificate)
        [[ $WELL_FORMED == yes && -n $KEY_ID ]] && is_right_certificate >/dev/null 2>&1 || BROKEN=${BROKEN:-$index} ;;
      revocation) must "entry $index is a malformed revocation" is_right_revocation ;;
      model-stage) [[ -z $PACKAGE ]] || STAGE["$PACKAGE"]=$TO ;;
    esac
  done <"$W/marked"
}

# The authorities of the trust config as numbered PEM files: the first certificate of a chain, and its last as anchor.
read_authorities() {
  local kind=$1 first=$2 last=$3 count number
  count=$(jq ".trustedRoot.$kind | length" "$P/trust-config.json")
  for ((number = 0; number < count; number++)); do
    field "$P/trust-config.json" ".trustedRoot.${kind}[$number].certChain.certificates[0].rawBytes" "$W/one.der" &&
      der_to_pem "$W/one.der" "$W/authorities/$number.$first.pem" &&
      field "$P/trust-config.json" ".trustedRoot.${kind}[$number].certChain.certificates[-1].rawBytes" "$W/one.der" &&
      der_to_pem "$W/one.der" "$W/authorities/$number.$last.pem" || return 1
  done
  ((count > 0))
}
# The logs of the trust config under the pack's origin: $W/logs/<id in hex>.pem and .der.
read_logs() {
  local id key
  mkdir "$W/logs"
  while read -r id key; do
    decode "$id" "$W/log.id" || return 1
    id=$W/logs/$(hex "$W/log.id")
    decode "$key" "$id.der" && spki_to_pem "$id.der" "$id.pem" || return 1
  done < <(jq -r --arg url "https://$ORIGIN" '.trustedRoot.tlogs[] | select(.baseUrl == $url)
    | .logId.keyId + " " + .publicKey.rawBytes' "$P/trust-config.json")
}
find_log() { # sets LOG_ID and LOG_PEM for the log whose id begins with $1 (hex)
  local each
  for each in "$W/logs/$1"*.pem; do
    [[ -f $each ]] || return 1
    LOG_PEM=$each LOG_ID=${each##*/}
    LOG_ID=${LOG_ID%.pem}
  done
}

is_in_window() { # use $1, id $2, at INDEX and all TIMES
  local window first last from until each
  window=$(grep -F -- "$1 $2 " "$W/windows") || return 1
  read -r _ _ first last from until <<<"$window"
  ((INDEX >= first)) && { [[ $last == - ]] || ((INDEX <= last)); } || return 1
  for each in "${TIMES[@]}"; do
    [[ $from == - ]] || ((each >= $(seconds "$from"))) || return 1
    [[ $until == - ]] || ((each <= $(seconds "$until"))) || return 1
  done
}
is_not_revoked() { [[ -z ${REVOKED["$1 $2"]-} ]] || ((INDEX < REVOKED["$1 $2"])); }
# Identity $1 against the patterns on standard input.
matches() {
  local pattern
  while read -r pattern; do
    if [[ $1 == "$pattern" ]]; then [[ $pattern != *'/*' ]] && return 0; fi
    if [[ $pattern == *'/*' && $1 == "${pattern%\*}"* && ${1#"${pattern%\*}"} =~ ^[a-z0-9.-]+$ ]]; then return 0; fi
  done
  return 1
}

check_pack_bundle() {
  local name statement issuing stamper use key each
  BUNDLE=$1 ARTIFACT='' ARTIFACT_DIGEST='' IN_PACK=yes STAMPER=''
  name=${1##*/}
  ABOUT="${name:0:8}: "
  check_bundle
  must "the certificate's issuance is not in the log" [ "${ISSUED[$(sha "$W/leaf.der")]-}" = yes ]
  issuing=sha256:$(certificate_digest "$AUTHORITY.issuing.pem") stamper=sha256:$(certificate_digest "$STAMPER.tsa.pem")
  statement=sha256:$(sha "$W/payload")

  step window
  while read -r use key; do
    must "the $use key $key was not in use then" is_in_window "$use" "$key"
  done < <(printf '%s\n' "log sha256:$(sha "${LOG_PEM%.pem}.der")" "ct sha256:$CT_ID" "issuing $issuing" "timestamp $stamper")

  step revoked
  while read -r use key; do
    must "the $use $key was revoked" is_not_revoked "$use" "$key"
  done < <(printf '%s\n' "identity $SIGNER" "role-key $(fulcio "$W/leaf.pem" 24)" "issuing $issuing" "timestamp $stamper" \
    "ct sha256:$CT_ID" "statement $statement")

  step statement
  must "not an in-toto statement" [ "$PAYLOAD_TYPE" = application/vnd.in-toto+json ]
  must "the file is named after another statement" [ "${statement#sha256:}.sigstore.json" = "$name" ]
  must "not a canonical statement" is_canonical "$W/payload"
  must "not a canonical statement" says "$W/payload" "$STATEMENT_FORM"
  step signer
  key=$(jq -r .predicateType "$W/payload")
  while read -r use each; do [[ $use != "$key" ]] || echo "$each"; done <"$W/signers" >"$W/allowed"
  must "$SIGNER may not sign $key" matches "$SIGNER" <"$W/allowed"
  jq -c --arg identity "$SIGNER" '{identity: $identity, kind: .predicateType, scope: (.predicate.scope // ""),
    subjects: [.subject[] | {name, hash: .digest.sha256}]}' "$W/payload" >>"$W/statements"
  LATEST=$((TIMES[0] > LATEST ? TIMES[0] : LATEST))
  ABOUT=''
}

check_ages() { # at POSIX second $1
  local file end
  step expiry
  for file in "$ROOT_JSON" "$TIMESTAMP_JSON" "$SNAPSHOT_JSON" "$TARGETS_JSON"; do
    end=$(jq -r .signed.expires "$file")
    must "${file##*/} has no expiry" seconds "$end"
    must "${file##*/} expired at $end" [ "$1" -lt "$(seconds "$end")" ]
  done
  if [[ -n $NOT_OLDER ]]; then
    step fresh
    must "the newest time is $(show "$1"), asked for $NOT_OLDER" [ "$1" -ge "$(seconds "$NOT_OLDER")" ]
  fi
  if ((${#COSIGNED[@]})); then
    ESTABLISHED+=("newest time $(show "$1"), witnessed by $(printf '%s\n' "${!COSIGNED[@]}" | sort | paste -sd ,)")
  else
    ESTABLISHED+=("newest time $(show "$1"), not witnessed: by the log itself")
  fi
}

APPROVAL=https://appliance.internal/attestations/approval/v1
check_approvals() {
  local threshold package who count
  threshold=$(jq -r '.approvals[] | select(.scope == "live") | .threshold' "$P/trust-policy.json")
  [[ -n $threshold ]] || return 0
  jq -r '.approvals[] | select(.scope == "live") | .approvers[]' "$P/trust-policy.json" >"$W/approvers"
  for package in "${!STAGE[@]}"; do
    [[ ${STAGE[$package]} == live ]] || continue
    jq -r --arg kind "$APPROVAL" --arg hash "${package#sha256:}" 'select(.kind == $kind and .scope == "live"
      and any(.subjects[]; .hash == $hash)) | .identity' "$W/statements" | sort -u >"$W/approved"
    count=0
    while read -r who; do if matches "$who" <"$W/approvers"; then count=$((count + 1)); fi; done <"$W/approved"
    must "$package is live with $count of $threshold approvals" [ "$count" -ge "$threshold" ]
  done
}

save_state() { # the old state or the new one: written beside, synced, renamed
  local releases={}
  [[ ! -s $1 ]] || releases=$(jq -c '.releases // {}' "$1")
  jq -cn --arg origin "$ORIGIN" --argjson size "$SIZE" --arg root "$(printf %s "$ROOT" | unhex | base64)" \
    --argjson before "$releases" --argjson now "$RELEASED" \
    '{origin: $origin, size: $size, root: $root} + ($before + $now | if . == {} then {} else {releases: .} end)' >"$1.tmp-state"
  sync "$1.tmp-state"
  mv -f "$1.tmp-state" "$1"
  sync "$(dirname "$1")"
}

verify_pack() {
  local state='' only='' digest name hash bundles=()
  NOT_OLDER=''
  (($# >= 2)) || usage
  local pack=$1 pinned=$2
  shift 2
  while (($#)); do
    (($# >= 2)) || usage
    case $1 in
      --state) state=$2 ;; --bundle) only=$2 ;; --not-older-than) NOT_OLDER=$2 ;;
      *) usage ;;
    esac
    shift 2
  done
  [[ -e $pack ]] || usage
  is_digest "$pinned" || usage
  [[ -z $NOT_OLDER ]] || seconds "$NOT_OLDER" >"$W/out" || usage
  [[ -z $only || $only =~ ^[0-9a-f]{64}$ ]] || usage
  if [[ -n $state && -e $state ]]; then
    says "$state" "$OBJECT"'within(["origin", "size", "root"]; ["releases"]) and (.size | type == "number")
      and all(.releases // {} | .[]; only(["manifest", "version"]))' || usage
  fi
  open_pack "$pack"
  check_repository "$pinned"

  step policy
  mkdir "$W/authorities"
  must "the trust config is not JSON in its strict form" is_json "$P/trust-config.json"
  must "the authorities of the trust config cannot be read" read_authorities certificateAuthorities issuing root
  must "the timestamp authorities of the trust config cannot be read" read_authorities timestampAuthorities tsa tsaroot
  must "the trust policy is not canonical" is_canonical "$P/trust-policy.json"
  must "the trust policy has another form" says "$P/trust-policy.json" "$POLICY_FORM"
  must "tlog-policy has another form" read_tlog_policy "$P/tlog-policy"
  local log_name log_hash log_raw
  read -r log_name log_hash log_raw <<<"$LOG"
  ORIGIN=$(jq -r .origin "$P/trust-policy.json") ISSUER=$(jq -r .issuer "$P/trust-policy.json") IDENTITY=''
  SITE=$(jq -r .site "$P/trust-policy.json")
  must "trust policy and tlog-policy name two logs" [ "$ORIGIN" = "$log_name" ]
  must "the logs of the trust config cannot be read" read_logs
  must "the trust config does not name the log" find_log "$log_hash"
  must "the trust config names the log with another key" [ "$(tail -c 32 "${LOG_PEM%.pem}.der" | hex)" = "$log_raw" ]
  jq -r '.windows[] | [.use, .id, .first_index, .last_index // "-", .from // "-", .until // "-"] | join(" ")' \
    "$P/trust-policy.json" >"$W/windows"
  jq -r '.signers[] | .predicate_type + " " + .identities[]' "$P/trust-policy.json" >"$W/signers"

  step checkpoint
  must "the checkpoint has another form" read_note "$P/log/checkpoint"
  must "expected the log $ORIGIN, got $NOTE_ORIGIN" [ "$NOTE_ORIGIN" = "$ORIGIN" ]
  must "not one line of the log" note_line "$ORIGIN" "$log_hash" "$W/note.sig"
  must "the checkpoint is not by the log" is_signed "$LOG_PEM" "$W/note.sig" "$W/text"
  SIZE=$NOTE_SIZE ROOT=$NOTE_ROOT

  step tree
  must "the entries and tiles do not hash to the signed root" replay
  read_entries

  step witness
  : >>"$W/witnesses"
  must "the line of a witness does not verify" read_cosignatures
  must "the cosignatures are no quorum" newest_time
  while read -r name; do NOT_ESTABLISHED+=("$name"); done <"$W/witnesses"
  LATEST=0
  [[ -z $NEWEST ]] || check_ages "$NEWEST"

  if [[ -n $state && -e $state ]]; then
    step rollback
    must "$(jq .size "$state") entries were seen before, now $SIZE" [ "$(jq .size "$state")" -le "$SIZE" ]
    step fork
    must "the log was another one before" [ "$(jq -r .origin "$state")" = "$ORIGIN" ]
    digest=$(jq -r .root "$state" | base64 -d | hex)
    must "not the entries that were seen before" [ "$(tree_root "$(jq .size "$state")")" = "$digest" ]
    ESTABLISHED+=("extends the $(jq .size "$state") entries that were seen before")
  else
    NOT_ESTABLISHED+=("rollback and fork: no earlier state was given")
  fi

  step issuance
  must "entry $BROKEN of the log" [ -z "$BROKEN" ]

  : >"$W/statements"
  if [[ -n $only ]]; then
    bundles=("$P/bundles/$only.sigstore.json")
    step format
    must "there is no bundle $only" [ -f "${bundles[0]}" ]
  elif [[ -d $P/bundles ]]; then
    mapfile -t bundles < <(find "$P/bundles" -type f | sort)
  fi
  for name in "${bundles[@]}"; do
    [[ ! -t 2 ]] || printf '\rbundle %s' "${name##*/}" >&2
    check_pack_bundle "$name"
  done
  [[ ! -t 2 ]] || echo >&2
  [[ -n $NEWEST ]] || check_ages "$LATEST"

  if [[ -n $only ]]; then
    NOT_ESTABLISHED+=("artifacts and approvals: only one bundle was asked for")
  else
    step subject
    while read -r name; do
      [[ -n $name ]] || continue
      hash=$(sha "$name")
      must "no statement is about ${name#"$P/"}" grep -qF "\"hash\":\"$hash\"" "$W/statements"
    done < <(find "$P/artifacts" -type f 2>/dev/null | sort)
    step approval
    check_approvals
  fi
  [[ -z $FOLDER ]] || check_release "$state"
  ESTABLISHED+=("$SIZE entries of $ORIGIN, root sha256:$ROOT" "${#bundles[@]} signed statements of site $SITE"
    "not revoked as of entry $SIZE: ${#REVOKED[@]} revocations")
  NOT_ESTABLISHED+=("the signature of the certificate timestamps"
    "that no newer trust roots and no newer pack exist" "that a signer judged well: a signature says who vouched for what, and when")
  [[ $QUORUM != none ]] || NOT_ESTABLISHED+=("witness quorum: the policy asks for none, so a split view would not show")
  [[ -z $state ]] || save_state "$state"
  conclude
}

# ---- the release

FOLDER='' RELEASED={} # the bundle to install; what the state remembers of it
MAX_MEMBERS=200000 SHOWN=100
NAMES='^[A-Za-z0-9_+%@=,][A-Za-z0-9._+~%@=,-]{0,127}(/[A-Za-z0-9_+%@=,][A-Za-z0-9._+~%@=,-]{0,127}){0,7}$'
SIGNATURES='^(apt/dists/appliance/InRelease|apt/dists/appliance/Release\.gpg|apt/appliance\.gpg)$'
MANIFEST_FORM="$OBJECT"'only(["architecture", "bundle", "format", "lock", "made_at", "members", "source", "version"])
and .format == "appliance-bundle/1" and (.bundle | test("\\A[a-z][a-z0-9-]{0,30}\\z"))
and (.version | test("\\A(0|[1-9][0-9]{0,5})([.](0|[1-9][0-9]{0,5})){2}\\z"))
and all(.lock, .source; test("\\Asha256:[0-9a-f]{64}\\z")) and (.made_at, .architecture | type == "string")
and (.members | length <= $most) and ([.members[].path] | . == (sort | unique))
and all(.members[]; only(["digest", "executable", "part", "path", "size_bytes"]) and (.path | test("\\n") | not)
  and (.digest | test("\\Asha256:[0-9a-f]{64}\\z")) and (.size_bytes | type == "number" and . >= 0 and . == floor)
  and (.executable | type == "boolean") and (.part | type == "string"))'
are_names() { # names, one a line, as a bundle may have them
  not grep -qvE "$NAMES" "$1" && not grep -qE '.{241}|[.](/|$)' "$1" && not clash "$1"
}
# Whether two names of $1, or of folders above them, differ only in case; tells one.
clash() {
  awk -F/ '{ name = ""; for (i = 1; i <= NF; i++) { name = name (i > 1 ? "/" : "") $i; low = tolower(name)
    if (!(low in seen)) seen[low] = name; else if (seen[low] != name) { print name; found = 1; exit } } }
    END { exit !found }' "$1"
}
none() { # lines "path: what" of $1: refuse, naming them
  [[ -s $1 ]] || return 0
  local more count
  count=$(wc -l <"$1") more=''
  ((count <= SHOWN)) || more="; and $((count - SHOWN)) more"
  refuse "$(sort "$1" | head -n $SHOWN | paste -sd ';' | sed 's/;/; /g')$more"
}
check_release() { # state file $1, or nothing
  local manifest=$FOLDER/manifest.json hash version bundle before
  step manifest
  must "it is no plain file" test -f "$manifest" -a ! -L "$manifest"
  must "it is too large" [ "$(stat -c %s "$manifest")" -le 67108864 ]
  cp "$manifest" "$W/manifest" # what is judged is what is read
  must "not canonical" is_canonical "$W/manifest"
  must "it has another form" says "$W/manifest" "$MANIFEST_FORM" --argjson most $MAX_MEMBERS
  jq -r '.members[] | "\(.size_bytes) \(.digest[7:]) \(.path)"' "$W/manifest" >"$W/wanted"
  cut -d' ' -f3- "$W/wanted" >"$W/paths"
  must "a member has a name that is not allowed" are_names "$W/paths"
  must "a member is a signature" not grep -qE "$SIGNATURES|^trust/|^manifest\.json\$" "$W/paths"
  hash=$(sha "$W/manifest") version=$(jq -r .version "$W/manifest") bundle=$(jq -r .bundle "$W/manifest")
  RELEASED=$(jq -cn --arg bundle "$bundle" --arg version "$version" --arg manifest "sha256:$hash" \
    '{($bundle): {version: $version, manifest: $manifest}}')

  step release
  jq -r --arg hash "$hash" 'select(.kind == "https://slsa.dev/provenance/v1" and any(.subjects[];
    .name == "manifest.json" and .hash == $hash)) | .identity, (.subjects[] | "\(.hash) \(.name)"), ""' "$W/statements" |
    sed '/^$/,$d' >"$W/released"
  must "no release statement names sha256:$hash" [ -s "$W/released" ]

  if [[ -n $1 && -e $1 ]] && says "$1" '.releases // {} | has($bundle)' --arg bundle "$bundle"; then
    step older
    before=$(jq -r --arg bundle "$bundle" '.releases[$bundle] | .version + " " + .manifest' "$1")
    must "this is $version, $before was verified before" says "$1" '.releases[$bundle] as $before
      | (($now | split(".") | map(tonumber)) > ($before.version | split(".") | map(tonumber)))
      or ($now == $before.version and $manifest == $before.manifest)' \
      --arg bundle "$bundle" --arg now "$version" --arg manifest "sha256:$hash"
  else
    NOT_ESTABLISHED+=("that no later release was here before: none is remembered")
  fi

  step layout
  : >"$W/faults"
  : >"$W/there"
  (cd "$FOLDER" && find . -mindepth 1 -path ./trust -prune -o -printf '%y %n %s %P\0') | tr '\n\0' '\001\n' |
    head -n $((2 * MAX_MEMBERS + 1)) >"$W/tree"
  cut -d' ' -f4- "$W/tree" >"$W/paths" # a name may end in spaces
  { grep -nvE "$NAMES" "$W/paths" || [[ $? == 1 ]]; grep -nE '.{241}|[.](/|$)' "$W/paths" || [[ $? == 1 ]]; } | sed 's/:.*//' >"$W/bad"
  awk -v faults="$W/faults" 'FILENAME == ARGV[1] { bad[$1] = 1; next }
    { line = $0; sub(/^[^ ]* [^ ]* [^ ]* /, "", line) }
    FNR in bad { print line ": the name is not allowed" > faults; next } $1 == "d" { next }
    $1 != "f" || $2 != 1 { print line ": a link or a special file" > faults; next }
    { print $3, line }' "$W/bad" "$W/tree" >"$W/there"
  (($(wc -l <"$W/tree") <= 2 * MAX_MEMBERS)) || echo "the folder: more than $((2 * MAX_MEMBERS)) files" >>"$W/faults"
  # Signatures count with the digest that the release names, and the size that they have.
  awk -v signatures="$SIGNATURES" 'NR == FNR { if (NF == 2 && $2 ~ signatures) hash[$2] = $1; next } { size[$2] = $1 }
    END { for (path in hash) print size[path] + 0, hash[path], path }' "$W/released" "$W/there" >>"$W/wanted"
  awk 'FILENAME == ARGV[1] { wanted[$3] = 1; next }
    FILENAME == ARGV[2] { there[$2] = 1; if (!($2 in wanted) && $2 != "manifest.json") print $2 ": no manifest lists it"; next }
    { sub(/: .*/, ""); faulty[$0] = 1 }
    END { for (path in wanted) if (!(path in there) && !(path in faulty)) print path ": missing" }' \
    "$W/wanted" "$W/there" "$W/faults" >"$W/more"
  cat "$W/more" >>"$W/faults"
  cut -d' ' -f2 "$W/there" >"$W/paths"
  clash "$W/paths" | sed 's/$/: differs from another name only in case/' >>"$W/faults" || true
  none "$W/faults"

  step member
  awk -v right="$W/right" 'NR == FNR { size[$2] = $1; next }
    size[$3] == $1 { print $3 > right; next } { print $3 ": expected " $1 " bytes, got " size[$3] }' \
    "$W/there" "$W/wanted" >"$W/faults"
  mkdir "$W/hashed"
  [[ ! -t 2 ]] || printf 'hashing %d files, %s\n' "$(wc -l <"$W/wanted")" \
    "$(awk '{ sum += $1 } END { printf "%.1f MB", sum / 1e6 }' "$W/wanted")" >&2
  [[ ! -s $W/right ]] || (cd "$FOLDER" && HASHED=$W/hashed xargs -a "$W/right" -P "$(nproc)" -n 64 \
    sh -c 'openssl dgst -sha256 -r "$@" >"$HASHED/$$" 2>/dev/null' hashing || true)
  find "$W/hashed" -type f -exec cat {} + | sed 's/ \*/ /' >"$W/digests"
  awk 'FILENAME == ARGV[1] { hash[$2] = $1; next } FILENAME == ARGV[2] { right[$1] = 1; next }
    !($3 in right) { next } !($3 in hash) { print $3 ": cannot be read"; next }
    hash[$3] != $2 { print $3 ": not the bytes that were released" }' "$W/digests" "$W/right" "$W/wanted" >>"$W/faults"
  none "$W/faults"
  ESTABLISHED+=("$(jq -r '"\(.members | length) files, \([.members[].size_bytes] | add // 0) bytes"' "$W/manifest"), are release $version of $bundle"
    "released by $(head -n 1 "$W/released")")
}
verify_release() {
  (($# >= 2)) && [[ " $* " != *' --bundle '* && -d $1/trust ]] || usage
  FOLDER=$1
  shift
  verify_pack "$FOLDER/trust" "$@"
}

# bash reads the output of another command through /dev/fd.
if [[ ! -e /proc/self/fd ]]; then echo "verify.sh: /proc is not mounted" >&2 && exit 2; fi
(($#)) || usage
verb=$1
shift
case $verb in
  pack) verify_pack "$@" ;;
  release) verify_release "$@" ;;
  bundle) verify_bundle "$@" ;;
  *) usage ;;
esac
