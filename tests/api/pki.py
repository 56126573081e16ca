"""A certificate authority for one API server, as kubeadm's: certificates of the server and of its clients."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = datetime.timedelta(days=30)
_CLOCKS = datetime.timedelta(hours=1)  # by how much a virtual machine's clock may be late

_BOTH = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: str
    key: str


class Authority:
    """A new authority; `pem` is its certificate."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("kubernetes", ())
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = _pem(certificate)

    def server(self, names: Sequence[str], addresses: Sequence[str]) -> Pair:
        """A certificate for a server with these DNS names and addresses."""
        known_as = [x509.DNSName(name) for name in names]
        reached_at = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        extension = x509.SubjectAlternativeName([*known_as, *reached_at])
        return self._issue(_name("kube-apiserver", ()), [ExtendedKeyUsageOID.SERVER_AUTH], extension)

    def member(self, names: Sequence[str], addresses: Sequence[str]) -> Pair:
        """A certificate for a member of etcd, as kubeadm's: for clients, for other members, and for asking them."""
        known_as = [x509.DNSName(name) for name in names]
        reached_at = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        extension = x509.SubjectAlternativeName([*known_as, *reached_at])
        return self._issue(_name(names[0], ()), _BOTH, extension)

    def client(self, user: str, groups: Sequence[str]) -> Pair:
        """A certificate by which an API server knows this user and its groups."""
        return self._issue(_name(user, groups), [ExtendedKeyUsageOID.CLIENT_AUTH])

    def _issue(
        self,
        subject: x509.Name,
        purposes: Sequence[x509.ObjectIdentifier],
        names: x509.SubjectAlternativeName | None = None,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return Pair(_pem(builder.sign(self._key, hashes.SHA256())), key_pem(key))

    def _builder(self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        """What all certificates have; the key identifiers are for Python 3.13, which insists on them."""
        now = datetime.datetime.now(datetime.UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(public_key)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCKS)
            .not_valid_after(now + _LIFE)
            .add_extension(own, critical=False)
            .add_extension(authority, critical=False)
        )


def _name(common: str, organizations: Sequence[str]) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The private key as PEM, in the form that kube-apiserver takes for service accounts, too."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
